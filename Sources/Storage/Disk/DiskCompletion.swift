import Store

/// How an effect of the store ended; handed to the `Store` function that the effect names.
enum DiskCompletion {
    case logWritten(EffectID)
    case logSynced(EffectID)
    case dataSynced(EffectID)
    case segmentPrepared(EffectID)
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
