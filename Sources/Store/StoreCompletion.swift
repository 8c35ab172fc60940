/// How an effect of the store ended.
public enum StoreCompletion {
    case logWritten(EffectID)
    case logSynced(EffectID)
    case dataSynced(EffectID)
    case segmentPrepared(EffectID)
    case segmentRemoved(EffectID)
    case slotsWritten(EffectID)
    case dataGrown(EffectID, Store.Growth)
    /// The indices of blocks whose bytes in the log did not match.
    case copied(EffectID, bad: [Int])
    case logRead(EffectID, [UInt8])
    /// The indices of blocks whose bytes do not match.
    case blocksChecked(EffectID, mismatches: [Int])
    /// In the order of the keys.
    case rowsLoaded(EffectID, [IndexRecord?])
    case rowsScanned(EffectID, IndexScanResult)
    case rowsCommitted(EffectID)
    case rowsSynced(EffectID)
    /// No effect that is under way will be answered any more (store.md, rule 4).
    case failed(String)
}

extension Store {
    /// Hands a completion to the function that its effect names.
    public func completed(_ completion: StoreCompletion) {
        switch completion {
        case .logWritten(let id): logWritten(id)
        case .logSynced(let id): logSynced(id)
        case .dataSynced(let id): dataSynced(id)
        case .segmentPrepared(let id): segmentPrepared(id)
        case .segmentRemoved(let id): segmentRemoved(id)
        case .slotsWritten(let id): slotsWritten(id)
        case .dataGrown(let id, let growth): dataGrown(id, growth)
        case .copied(let id, let bad): copied(id, bad: bad)
        case .logRead(let id, let bytes): bytes.withUnsafeBytes { logRead(id, $0) }
        case .blocksChecked(let id, let mismatches): blocksChecked(id, mismatches: mismatches)
        case .rowsLoaded(let id, let records): rowsLoaded(id, records)
        case .rowsScanned(let id, let result): rowsScanned(id, result)
        case .rowsCommitted(let id): rowsCommitted(id)
        case .rowsSynced(let id): rowsSynced(id)
        case .failed(let reason): failed(StoreFailure(reason))
        }
    }
}
