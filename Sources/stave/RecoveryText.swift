import Admin
import Foundation

// How catching up goes, for people.

/// "12 groups learn, 5 of them wait for their turn; 80.1 MiB/s, about 20 s left"
func words(_ recovery: RecoverySummary) -> String {
    var text = recovery.groups == 1 ? "1 group learns" : "\(recovery.groups) groups learn"
    if recovery.waiting > 0 { text += ", \(recovery.waiting) of them wait for their turn" }
    if recovery.bytesPerSecond > 0 { text += "; \(size(recovery.bytesPerSecond))/s" }
    if let seconds = recovery.secondsLeft { text += ", about \(duration(seconds)) left" }
    return text
}

/// "copying, 12 of 40 objects, 48.0 MiB, 20.1 MiB/s, about 7 s left"
func words(_ one: CatchUpReport) -> String {
    var parts = [one.stage]
    if let copied = one.copiedObjects, let all = one.objects { parts.append("\(copied) of \(all) objects") }
    if let copied = one.copiedRows, let all = one.rows { parts.append("\(copied) of about \(all) rows") }
    if one.copiedBytes > 0 { parts.append(size(one.copiedBytes)) }
    if one.bytesPerSecond > 0 { parts.append("\(size(one.bytesPerSecond))/s") }
    if let seconds = one.secondsLeft { parts.append("about \(duration(seconds)) left") }
    return parts.joined(separator: ", ")
}

/// In a table: "12/40, 7 s" or the stage; the last to be done of several.
func left(_ catchUps: [CatchUpReport]) -> String {
    guard let one = catchUps.max(by: { ($0.secondsLeft ?? .infinity) < ($1.secondsLeft ?? .infinity) }) else {
        return "-"
    }
    guard let copied = one.copiedObjects ?? one.copiedRows, let all = one.objects ?? one.rows else { return one.stage }
    return "\(copied)/\(all)" + (one.secondsLeft.map { ", \(duration($0))" } ?? "")
}

/// "7 s", "3 min", "2.5 h"
func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<120: "\(Int(seconds.rounded(.up))) s"
    case ..<7200: "\(Int((seconds / 60).rounded(.up))) min"
    default: String(format: "%.1f h", seconds / 3600)
    }
}
