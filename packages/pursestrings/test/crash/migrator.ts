/** A process that brings a file's schema up, says so, and waits to be killed before it commits. */
import { DatabaseSync } from 'node:sqlite';

import { migrate } from '../../src/stores/sqlite/schema.ts';

const path = process.argv[2] ?? '';
const database = new DatabaseSync(path);
database.exec('PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE');
migrate(database, path);
process.stdout.write('migrated\n');
setInterval(() => database.isOpen, 1000);
