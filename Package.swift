// swift-tools-version: 6.2
import PackageDescription

// Exclusivity of memory access is enforced by the compiler where it can be, and at run time in debug builds, which all tests
// are; release builds leave the run-time checks out (docs/performance.md).
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let sqlite: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqliteLibrary: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let yaml: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")

// Floors, from the ground up; a target imports what stands below it only (docs/design.md).
let package = Package(
    name: "stave",
    products: [.executable(name: "stave", targets: ["stave"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
    ],
    targets: [
        // Floor 0: C
        .target(name: "CSupport"),
        .systemLibrary(name: "CTirpc", pkgConfig: "libtirpc", providers: [.apt(["libtirpc-dev"])]),
        // Floor 1: the model and the codecs
        .target(name: "ClusterModel", swiftSettings: strict),
        .target(name: "Wire", dependencies: ["ClusterModel"], swiftSettings: strict),
        .target(name: "ONCRPC", swiftSettings: strict),
        // Floor 2: pure machines
        .target(name: "Replication", dependencies: ["ClusterModel", "Wire"], swiftSettings: strict),
        .target(name: "Store", dependencies: ["ClusterModel", "Wire"], swiftSettings: strict),
        .target(name: "Namespace", dependencies: ["ClusterModel", "Wire"], swiftSettings: strict),
        .target(name: "Gateway", dependencies: ["ClusterModel", "Wire"], swiftSettings: strict),
        // Floor 3: the outside world
        .target(
            name: "DiskIO", dependencies: ["CSupport", "ClusterModel", "Wire", "Namespace", sqliteLibrary], swiftSettings: strict),
        .target(name: "Transport", dependencies: ["CSupport", "Wire", "ClusterModel", log] + nio, swiftSettings: strict),
        .target(name: "Coordination", dependencies: ["CSupport", "ClusterModel", sqlite], swiftSettings: strict),
        // Floor 4: the object layer
        .target(
            name: "Storage",
            dependencies: [
                "Replication", "Store", "Namespace", "DiskIO", "Transport", "Coordination", "ClusterModel", "Wire", "CSupport",
                log, metrics, deque,
            ] + nio, swiftSettings: strict),
        // Floor 5: files
        .target(
            name: "Filesystem", dependencies: ["Gateway", "Storage", "ClusterModel", "Wire", log, metrics] + nio,
            swiftSettings: strict),
        // Floor 6: doors
        .target(
            name: "NFS", dependencies: ["Filesystem", "ONCRPC", "CTirpc", "ClusterModel", "Wire", log, metrics] + nio,
            swiftSettings: strict),
        .target(
            name: "Admin",
            dependencies: [
                "Filesystem", "Storage", "CSupport", "ClusterModel", "Wire", log, metrics, histogram,
            ] + nio,
            swiftSettings: strict),
        // Floor 7: a node
        .target(
            name: "Node",
            dependencies: [
                "Admin", "NFS", "Filesystem", "Storage", "Coordination", "DiskIO", "Transport", "CSupport", "ClusterModel", "Wire", log,
                metrics, yaml,
            ] + nio, swiftSettings: strict),
        // Floor 8: the command line
        .executableTarget(
            name: "stave", dependencies: ["Node", "Admin", "CSupport", "ClusterModel", "Wire", log, metrics, arguments],
            swiftSettings: strict),
        // Aside: the whole cluster in one process on virtual time
        .target(
            name: "Simulation", dependencies: ["ClusterModel", "Wire", "Replication", "Store", "Namespace"], swiftSettings: strict),
        .executableTarget(name: "simulate", dependencies: ["ClusterModel", "Simulation", arguments], swiftSettings: strict),

        .testTarget(name: "ClusterModelTests", dependencies: ["ClusterModel"], swiftSettings: strict),
        .testTarget(name: "WireTests", dependencies: ["Wire", "ClusterModel"], exclude: ["Corpus"], swiftSettings: strict),
        .testTarget(name: "TransportTests", dependencies: ["Transport", "Wire", "ClusterModel", log] + nio, swiftSettings: strict),
        .testTarget(name: "HouseTests", swiftSettings: strict),
        .testTarget(name: "ONCRPCTests", dependencies: ["ONCRPC", "CTirpc"], exclude: ["Corpus"], swiftSettings: strict),
        .testTarget(name: "StoreTests", dependencies: ["Simulation", "Store", "ClusterModel", "Wire"], swiftSettings: strict),
        .testTarget(name: "NamespaceTests", dependencies: ["Namespace", "ClusterModel", "Wire"], swiftSettings: strict),
        .testTarget(name: "ReplicationTests", dependencies: ["Replication", "ClusterModel", "Wire"], swiftSettings: strict),
        .testTarget(name: "GatewayTests", dependencies: ["Gateway", "Namespace", "ClusterModel", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Simulation", "Replication", "ClusterModel", "Wire"], swiftSettings: strict),
        .testTarget(name: "DiskIOTests", dependencies: ["DiskIO", "CSupport", "ClusterModel"], swiftSettings: strict),
        .testTarget(
            name: "NamespaceDatabaseTests", dependencies: ["DiskIO", "Namespace", "ClusterModel", "Wire"], swiftSettings: strict),
        .executableTarget(
            name: "CoordinationProbe", dependencies: ["Coordination", "ClusterModel", sqlite], path: "Tests/CoordinationProbe",
            swiftSettings: strict),
        .testTarget(
            name: "CoordinationTests", dependencies: ["Coordination", "ClusterModel", "CoordinationProbe", sqlite],
            swiftSettings: strict),
        .testTarget(
            name: "StorageTests",
            dependencies: [
                "Storage", "Store", "Namespace", "Replication", "Coordination", "DiskIO", "Transport", "ClusterModel", "Wire", log,
            ] + nio, swiftSettings: strict),
        .testTarget(
            name: "FilesystemTests",
            dependencies: [
                "Filesystem", "Gateway", "Storage", "ClusterModel", "Wire", .product(name: "NIOEmbedded", package: "swift-nio"),
            ] + nio, swiftSettings: strict),
        .testTarget(
            name: "NFSTests", dependencies: ["NFS", "ONCRPC", "Filesystem", "Wire", "ClusterModel", "CTirpc"],
            swiftSettings: strict),
        .testTarget(name: "NodeTests", dependencies: ["Node", "ClusterModel", "stave"], swiftSettings: strict),
        .testTarget(
            name: "ClusterTests", dependencies: ["stave", "Node", "Admin", "ONCRPC", "DiskIO", "ClusterModel", "Wire"],
            swiftSettings: strict),
        .testTarget(name: "AdminTests", dependencies: ["Admin", "ClusterModel", "Wire", metrics], swiftSettings: strict),
    ]
)

// tools/simulate sets this: then the package is the pure machines and the simulator, optimised and with mutations compiled in
// (#if STAVE_MUTANTS), and has no `stave`. What has mutations cannot be run as Stave, and what is Stave has none; HouseTests
// asks the package manager for both forms.
if Context.environment["STAVE_SIMULATE"] != nil {
    let simulator = ["ClusterModel", "Wire", "Replication", "Store", "Namespace", "Simulation", "simulate"]
    package.targets.removeAll { !simulator.contains($0.name) }
    for target in package.targets { target.swiftSettings?.append(.define("STAVE_MUTANTS")) }
    package.products = [.executable(name: "simulate", targets: ["simulate"])]
}
