/// The compiled statements of a `NamespaceDatabase`.
struct NamespaceStatements {
    let begin: SQLiteStatement
    let commit: SQLiteStatement
    let rollback: SQLiteStatement
    let get: SQLiteStatement
    let from: SQLiteStatement
    let before: SQLiteStatement
    let put: SQLiteStatement
    let delete: SQLiteStatement
    let changesFrom: SQLiteStatement
    let changesBefore: SQLiteStatement
    let isIndexed: SQLiteStatement
    let putTombstone: SQLiteStatement
    let tombstones: SQLiteStatement
    let oldestTombstones: SQLiteStatement
    let dropTombstone: SQLiteStatement
    let horizon: SQLiteStatement
    let raiseHorizon: SQLiteStatement
    let setHorizon: SQLiteStatement
    let getReply: SQLiteStatement
    let replies: SQLiteStatement
    let putReply: SQLiteStatement
    let deleteReply: SQLiteStatement
    let getState: SQLiteStatement
    let putState: SQLiteStatement

    init(_ database: SQLiteDatabase) throws(DiskError) {
        begin = try database.prepare("BEGIN IMMEDIATE")
        commit = try database.prepare("COMMIT")
        rollback = try database.prepare("ROLLBACK")
        get = try database.prepare("SELECT value,version FROM rows WHERE key=?")
        from = try database.prepare("SELECT key,version,value FROM rows WHERE key>=? ORDER BY key")
        before = try database.prepare("SELECT key,version,value FROM rows WHERE key<? ORDER BY key DESC LIMIT 1")
        put = try database.prepare(
            """
            INSERT INTO rows(key,version,value) VALUES(?,?,?)
            ON CONFLICT(key) DO UPDATE SET version=excluded.version,value=excluded.value
            """)
        delete = try database.prepare("DELETE FROM rows WHERE key=?")
        // Of two columns SQLite seeks the first one and compares both with each entry: it would pass by what is out of order.
        changesFrom = try database.prepare(
            "SELECT key,version FROM rows INDEXED BY rows_by_version WHERE version>=? ORDER BY version,key")
        changesBefore = try database.prepare(
            """
            SELECT key,version FROM rows INDEXED BY rows_by_version WHERE version<?
            ORDER BY version DESC,key DESC LIMIT 1
            """)
        isIndexed = try database.prepare("SELECT 1 FROM rows INDEXED BY rows_by_version WHERE version=? AND key=?")
        putTombstone = try database.prepare(
            """
            INSERT INTO tombstones(key,version) VALUES(?,?)
            ON CONFLICT(key) DO UPDATE SET version=excluded.version
            """)
        tombstones = try database.prepare(
            """
            SELECT key,version FROM tombstones WHERE (version,key)>(?,?)
            AND NOT EXISTS (SELECT 1 FROM rows WHERE rows.key=tombstones.key) ORDER BY version,key LIMIT ?
            """)
        oldestTombstones = try database.prepare(
            "SELECT key,version FROM tombstones WHERE version<=? ORDER BY version,key LIMIT ?")
        dropTombstone = try database.prepare("DELETE FROM tombstones WHERE key=?")
        horizon = try database.prepare("SELECT version FROM horizon")
        raiseHorizon = try database.prepare("UPDATE horizon SET version=max(version,?)")
        setHorizon = try database.prepare("UPDATE horizon SET version=?")
        getReply = try database.prepare("SELECT value FROM replies WHERE n=?")
        replies = try database.prepare("SELECT n,value FROM replies WHERE n>? ORDER BY n LIMIT ?")
        putReply = try database.prepare("INSERT OR REPLACE INTO replies(n,value) VALUES(?,?)")
        deleteReply = try database.prepare("DELETE FROM replies WHERE n=?")
        getState = try database.prepare("SELECT value FROM state WHERE id=0")
        putState = try database.prepare("INSERT OR REPLACE INTO state(id,value) VALUES(0,?)")
    }
}

/// The tables of a fileset's rows, and their format.
enum NamespaceSchema {
    /// The formats; each case says what it changed.
    enum Format: Int64, Sendable, CaseIterable {
        case first = 1
        /// Values end with a checksum.
        case sealed = 2

        static let present = Format.sealed
    }

    static func create(in database: SQLiteDatabase) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            try database.execute(
                """
                CREATE TABLE format(number INTEGER NOT NULL);
                INSERT INTO format VALUES(\(Format.present.rawValue));
                CREATE TABLE rows(
                    key BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
                CREATE INDEX rows_by_version ON rows(version,key);
                CREATE TABLE tombstones(key BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
                CREATE INDEX tombstones_by_version ON tombstones(version,key);
                CREATE TABLE horizon(version INTEGER NOT NULL);
                INSERT INTO horizon VALUES(0);
                CREATE TABLE replies(n INTEGER PRIMARY KEY, value BLOB NOT NULL);
                CREATE TABLE state(id INTEGER PRIMARY KEY, value BLOB NOT NULL);
                """)
        }
        // The file's name is durable already: a loss of power must not leave it without its tables.
        try database.passiveCheckpoint()
    }

    /// Whether the database has no tables.
    static func isMissing(in database: SQLiteDatabase) throws(DiskError) -> Bool {
        let statement = try database.prepare("SELECT count(*) FROM sqlite_master")
        defer { statement.reset() }
        return try statement.step() && statement.integer(0) == 0
    }

    static func checkFormat(of database: SQLiteDatabase) throws(DiskError) {
        let statement = try database.prepare("SELECT number FROM format")
        let number = try statement.step() ? statement.integer(0) : 0
        statement.reset()
        guard Format(rawValue: number) == .present else {
            let latest = Format.present.rawValue
            throw DiskError(
                .database, path: database.path,
                .malformed("namespace format \(number) is not known to this version, which knows \(latest)"))
        }
    }
}
