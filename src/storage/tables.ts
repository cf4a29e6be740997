/** Which tables an object has: reading must create none, so it asks first. */

/** The object's own tables, without those of SQLite and of the platform. */
export function tableNames(sql: SqlStorage): string[] {
  return sql
    .exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .toArray()
    .map(({ name }) => name);
}
