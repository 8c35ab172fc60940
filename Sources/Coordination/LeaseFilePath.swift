import ClusterModel

extension LocalCoordinator {
    /// Where the lease file of a cluster is on this machine, for its removal with the cluster. Nothing else may touch it:
    /// processes that have it mapped serve by it.
    public static func leaseFilePath(of cluster: ClusterID, folder: String? = nil) -> String {
        "\(folder ?? LocalLeases.defaultFolder())/stave-\(cluster).leases"
    }
}
