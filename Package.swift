// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6)]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let sqlite: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")

// Floors, from the ground up; a target imports what stands below it only (docs/design.md).
let package = Package(
    name: "stave",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    ],
    targets: [
        .target(name: "CSupport"),
        .target(name: "ClusterModel", swiftSettings: strict),
        .target(name: "Wire", dependencies: ["ClusterModel"], swiftSettings: strict),
        .target(name: "Transport", dependencies: ["Wire", "ClusterModel", log] + nio, swiftSettings: strict),
    ]
)
