import Foundation

/// Looks again and again whether something holds, `milliseconds` apart; gives false when it does not within so many seconds.
func holds(
    within seconds: Double, every milliseconds: UInt32 = 100, _ condition: () throws -> Bool
) rethrows -> Bool {
    let deadline = Date().addingTimeInterval(seconds)
    while try !condition() {
        guard Date() < deadline else { return false }
        usleep(milliseconds * 1000)
    }
    return true
}
