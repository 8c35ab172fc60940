import ONCRPC
import Wire

/// MKNOD (RFC 1813, section 3.3.11).
func mknodOperation(_ call: NFSCall, _ reader: inout XDRReader) throws(XDRError) {
    let arguments = try NFS3.MknodArguments(from: &reader)
    switch arguments.kind {
    case .characterDevice(let attributes, let device):
        call.make(
            .device(.characterDevice, DeviceNumber(major: device.major, minor: device.minor)), at: arguments.place,
            attributes: attributes)
    case .blockDevice(let attributes, let device):
        call.make(
            .device(.blockDevice, DeviceNumber(major: device.major, minor: device.minor)), at: arguments.place,
            attributes: attributes)
    case .socket(let attributes): call.make(.socket, at: arguments.place, attributes: attributes)
    case .fifo(let attributes): call.make(.fifo, at: arguments.place, attributes: attributes)
    case .other: call.refuseToMake(.badType)
    }
}
