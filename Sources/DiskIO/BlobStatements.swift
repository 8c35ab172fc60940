/// The statements for the index's small tables: groups, chunks, meta.
struct BlobStatements {
    let putGroup: SQLiteStatement
    let getGroup: SQLiteStatement
    let deleteGroup: SQLiteStatement
    let groupsFrom: SQLiteStatement
    let putChunk: SQLiteStatement
    let getChunk: SQLiteStatement
    let deleteChunk: SQLiteStatement
    let deleteChunks: SQLiteStatement
    let chunksFrom: SQLiteStatement
    let putMeta: SQLiteStatement
    let getMeta: SQLiteStatement
    let deleteMeta: SQLiteStatement

    init(_ database: SQLiteDatabase) throws(DiskError) {
        putGroup = try database.prepare("INSERT OR REPLACE INTO groups(pg,value) VALUES(?,?)")
        getGroup = try database.prepare("SELECT value FROM groups WHERE pg=?")
        deleteGroup = try database.prepare("DELETE FROM groups WHERE pg=?")
        groupsFrom = try database.prepare("SELECT pg,value FROM groups WHERE pg>=? ORDER BY pg LIMIT ?")
        putChunk = try database.prepare(
            """
            INSERT INTO chunks(kind,number,value) VALUES(?,?,?)
            ON CONFLICT(kind,number) DO UPDATE SET value=excluded.value
            """)
        getChunk = try database.prepare("SELECT value FROM chunks WHERE kind=? AND number=?")
        deleteChunk = try database.prepare("DELETE FROM chunks WHERE kind=? AND number=?")
        deleteChunks = try database.prepare("DELETE FROM chunks WHERE kind=? AND number BETWEEN ? AND ?")
        chunksFrom = try database.prepare(
            "SELECT number,value FROM chunks WHERE kind=? AND number>=? ORDER BY number LIMIT ?")
        putMeta = try database.prepare("INSERT OR REPLACE INTO meta(key,value) VALUES(?,?)")
        getMeta = try database.prepare("SELECT value FROM meta WHERE key=?")
        deleteMeta = try database.prepare("DELETE FROM meta WHERE key=?")
    }
}
