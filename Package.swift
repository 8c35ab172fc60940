// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let package = Package(
    name: "stave",
    targets: [
        .target(name: "ClusterModel", swiftSettings: strict),
        .target(name: "Wire", dependencies: ["ClusterModel"], swiftSettings: strict),
    ]
)
