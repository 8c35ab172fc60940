import CSupport
import DiskIO
import Glibc
import Synchronization
import Testing

@Suite struct CSupportTests {
    @Test("an Atomic word over mapped memory is seen and changed through another mapping of the file")
    func mappedAtomics() throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("words", .new)
        try file.truncate(to: 4096)
        let descriptor = open(file.path, O_RDWR | cs_o_cloexec)
        #expect(descriptor >= 0)
        defer { close(descriptor) }
        var error: Int32 = 0
        let first = try #require(cs_map_shared(descriptor, 4096, &error))
        let second = try #require(cs_map_shared(descriptor, 4096, &error))
        defer {
            _ = cs_unmap(first, 4096)
            _ = cs_unmap(second, 4096)
        }
        #expect(first != second)
        let mine = first.bindMemory(to: Atomic<UInt64>.self, capacity: 512)
        let other = second.bindMemory(to: Atomic<UInt64>.self, capacity: 512)
        mine[3].store(41, ordering: .sequentiallyConsistent)
        let won = other[3].compareExchange(expected: 41, desired: 42, ordering: .sequentiallyConsistent)
        #expect(won.exchanged)
        let lost = mine[3].compareExchange(expected: 41, desired: 43, ordering: .sequentiallyConsistent)
        #expect(!lost.exchanged && lost.original == 42)
        #expect(try file.bytes(24..<32) == [42, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("open-file-description locks exclude another description, not the holder's own")
    func ofdLocks() throws {
        let disk = try TestDisk()
        let path = try disk.folder.open("locks", .new).path
        let (one, two) = (open(path, O_RDWR), open(path, O_RDWR))
        defer {
            close(one)
            close(two)
        }
        #expect(cs_ofd_lock(one, 0, 10, 1) == 0)
        #expect(cs_ofd_lock(one, 5, 10, 1) == 0)
        #expect(cs_ofd_lock(two, 9, 1, 0) == -EAGAIN)
        #expect(cs_ofd_is_locked(two, 0, 1, 1) == 1)
        #expect(cs_ofd_is_locked(two, 20, 1, 1) == 0)
        #expect(cs_ofd_unlock(one, 0, 0) == 0)
        #expect(cs_ofd_lock(two, 9, 1, 1) == 0)
    }

    @Test("an eventfd counts signals and does not wait")
    func eventDescriptor() {
        let descriptor = cs_eventfd()
        defer { _ = cs_close(descriptor) }
        #expect(cs_eventfd_take(descriptor) == 0)
        #expect(cs_eventfd_signal(descriptor) == 0)
        #expect(cs_eventfd_signal(descriptor) == 0)
        #expect(cs_eventfd_take(descriptor) == 2)
    }

    @Test("inotify reports a change of a watched file")
    func inotify() throws {
        let disk = try TestDisk()
        let file = try disk.folder.open("touched", .new)
        let descriptor = cs_inotify_open()
        defer { _ = cs_close(descriptor) }
        #expect(cs_inotify_watch(descriptor, file.path, cs_in_modify) >= 0)
        try file.write([1], at: 0)
        var event = [UInt8](repeating: 0, count: 256)
        #expect(read(descriptor, &event, event.count) >= 16)
    }

    @Test("the boot id is the kernel's, and the boot-time clock rises")
    func bootClock() throws {
        let text = try #require(fopen("/proc/sys/kernel/random/boot_id", "r"))
        defer { fclose(text) }
        var line = [CChar](repeating: 0, count: 64)
        fgets(&line, 64, text)
        let digits = line.map { UInt8(bitPattern: $0) }.filter { $0 > 0x2D }
        #expect(try BootClock.bootID().description == String(decoding: digits, as: UTF8.self))
        let before = BootClock.now()
        #expect(before <= BootClock.now())
    }
}
