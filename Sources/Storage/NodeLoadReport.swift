extension StorageNode {
    /// How full the queues are now.
    public var load: NodeLoad {
        NodeLoad(
            waitingRequests: requests.count, waitingExchanges: exchanges.count, payloadBytes: payloads.byteCount,
            sentBytes: transport.bytesSent, receivedBytes: transport.bytesReceived, lentBytes: transport.bytesLent,
            arenaBytes: transport.arenaBytesTaken,
            sentMessages: transport.messagesSent,
            receivedMessages: transport.messagesReceived,
            namespaceWork: orderedReplicas.reduce(0) { $0 + ($1.namespace?.depth ?? 0) },
            rowCacheBytes: rowCache.rows.bytes, rowCache: rowCache.counters)
    }
}
