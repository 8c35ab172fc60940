/// The tables of a disk's index, and their format.
///
/// Rows of objects lie in a rowid table with a unique index rather than in key order: an update of a random row then
/// writes one page of 4 KiB; a table ordered by key would need pages of 8 KiB to hold rows of 1.2 KiB, and write them
/// (measured: 16 instead of 28 µs a put, and half the WAL).
enum IndexSchema {
    /// The formats of the index; each case says what it changed.
    enum Format: Int64, Sendable, CaseIterable {
        case first = 1
        /// The row of a file in a group holds its blocks beside its last cut.
        case fileUsage = 2

        static let current = fileUsage
    }

    static func create(in database: SQLiteDatabase) throws(DiskError) {
        try database.transaction { () throws(DiskError) in
            try database.execute(
                """
                CREATE TABLE format(number INTEGER NOT NULL);
                INSERT INTO format VALUES(\(Format.current.rawValue));
                CREATE TABLE rows(
                    fileset INTEGER NOT NULL, inode INTEGER NOT NULL, object INTEGER NOT NULL,
                    mebibyte INTEGER NOT NULL, value BLOB NOT NULL,
                    UNIQUE(fileset,inode,object,mebibyte));
                CREATE TABLE objects(
                    fileset INTEGER NOT NULL, inode INTEGER NOT NULL, object INTEGER NOT NULL,
                    pg INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
                    truncation INTEGER NOT NULL, value BLOB NOT NULL,
                    PRIMARY KEY(fileset,inode,object)) WITHOUT ROWID;
                CREATE INDEX objects_by_version ON objects(pg,epoch,n,fileset,inode,object);
                CREATE TABLE groups(pg INTEGER PRIMARY KEY, value BLOB NOT NULL);
                CREATE TABLE chunks(
                    kind INTEGER NOT NULL, number INTEGER NOT NULL, value BLOB NOT NULL, UNIQUE(kind,number));
                CREATE TABLE meta(key INTEGER PRIMARY KEY, value BLOB NOT NULL);
                """)
        }
    }

    static func checkFormat(of database: SQLiteDatabase) throws(DiskError) {
        let statement = try database.prepare("SELECT number FROM format")
        let number = try statement.step() ? statement.integer(0) : 0
        statement.reset()
        guard Format(rawValue: number) == .current else {
            let current = Format.current.rawValue
            throw DiskError(
                .database, path: database.path,
                .malformed("index format \(number) is not known to this version, which knows \(current)"))
        }
    }
}
