BEGIN TRANSACTION;
CREATE TABLE approvals (event_id INTEGER NOT NULL, n INTEGER NOT NULL, state VARCHAR NOT NULL, body TEXT NOT NULL, PRIMARY KEY (event_id, n));
CREATE TABLE blobs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	event_id INTEGER NOT NULL,
	data BLOB NOT NULL
);
INSERT INTO "blobs" VALUES(1,2,X'0202');
CREATE TABLE buttons (
	id VARCHAR NOT NULL,
	event_id INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "buttons" VALUES('b1',1,'again');
CREATE TABLE facts (
	name VARCHAR NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('offset','7');
INSERT INTO "facts" VALUES('schema','3');
CREATE TABLE history (
	place VARCHAR NOT NULL,
	id INTEGER NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (place, id)
);
INSERT INTO "history" VALUES('42',1,'{"id":1,"at":"2026-05-06T07:08:09.123456Z","messages":[{"parts":[{"text":"hello","label":"owner"}],"role":"user"},{"text":"hello yourself","calls":[],"label":"owner","role":"assistant"}]}');
CREATE TABLE inbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	source VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	event TEXT,
	raw TEXT NOT NULL,
	user_id BIGINT,
	received_at DATETIME NOT NULL,
	starts INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	error TEXT, cut TEXT,
	UNIQUE (source, "key")
);
INSERT INTO "inbox" VALUES(1,'telegram','one','done','{"source":"telegram","key":"one","kind":"message","actor":{"user_id":42,"name":"Ann"},"place":{"chat_id":42,"private":true},"received_at":"2026-05-06T07:08:09.123456Z","parts":[{"text":"hello","label":"owner"}],"command":"","press":""}','{}',42,'2026-05-06 07:08:09.123456',1,0,NULL,NULL);
INSERT INTO "inbox" VALUES(2,'telegram','two','open','{"source":"telegram","key":"two","kind":"message","actor":{"user_id":42,"name":"Ann"},"place":{"chat_id":-1001,"thread_id":7,"private":false},"received_at":"2026-05-06T07:08:09.123456Z","parts":[{"text":"hello","label":"owner"}],"command":"","press":""}','{}',42,'2026-05-06 07:08:09.123456',1,0,NULL,NULL);
INSERT INTO "inbox" VALUES(3,'telegram','odd','quarantined',NULL,'{}',NULL,'2026-05-06 07:08:09.123456',0,0,NULL,NULL);
CREATE TABLE jobs (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, chat_id BIGINT NOT NULL, number INTEGER NOT NULL, name VARCHAR NOT NULL, state VARCHAR NOT NULL, paused BOOLEAN NOT NULL, next_at DATETIME, failures INTEGER NOT NULL, seen TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (chat_id, number));
CREATE TABLE memory (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, chat_id BIGINT NOT NULL, text TEXT NOT NULL, folded TEXT NOT NULL, label VARCHAR NOT NULL, at DATETIME NOT NULL, UNIQUE (chat_id, folded));
INSERT INTO "memory" VALUES(1,42,'I live in Ulm','i live in ulm','owner','2026-05-06 07:08:09.123456');
CREATE TABLE notices (event_id INTEGER NOT NULL, outbox_id INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (event_id, outbox_id));
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	chat_id BIGINT NOT NULL,
	thread_id BIGINT,
	private BOOLEAN NOT NULL,
	piece TEXT NOT NULL,
	trace TEXT NOT NULL,
	state VARCHAR NOT NULL,
	tries INTEGER NOT NULL,
	not_before DATETIME,
	message_id BIGINT,
	error TEXT
);
INSERT INTO "outbox" VALUES(1,42,NULL,1,'{"text":"hello yourself","entities":[],"buttons":[],"fallback":false,"guarded":false,"media":[]}','{"event":"one","turn":1,"actor":"system","user":42}','sent',0,NULL,77,NULL);
INSERT INTO "outbox" VALUES(2,-1001,7,0,'{"text":"notice","entities":[],"buttons":[],"fallback":false,"guarded":false,"media":[{"blob":1,"name":"x","size":2,"kind":"document"}]}','{"event":"","actor":"system"}','open',0,NULL,NULL,NULL);
CREATE TABLE runs (id INTEGER NOT NULL, job_id INTEGER NOT NULL, event_id INTEGER, due_at DATETIME NOT NULL, at DATETIME NOT NULL, state VARCHAR NOT NULL, note TEXT NOT NULL, PRIMARY KEY (id));
CREATE TABLE seen (scope VARCHAR NOT NULL, "key" VARCHAR NOT NULL, until DATETIME, PRIMARY KEY (scope, "key"));
CREATE TABLE spend (id INTEGER NOT NULL, event_id INTEGER, n INTEGER, kind VARCHAR NOT NULL, at DATETIME NOT NULL, user_id BIGINT, model VARCHAR NOT NULL, input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, cost_nano_usd BIGINT NOT NULL, job_id INTEGER, PRIMARY KEY (id), UNIQUE (event_id, n));
INSERT INTO "spend" VALUES(1,1,0,'model','2026-05-06 07:08:09.123456',42,'anthropic:claude',10,5,250000000,NULL);
INSERT INTO "spend" VALUES(2,1,2,'model','2026-05-06 07:08:09.123456',42,'anthropic:claude',10,5,125000000,NULL);
INSERT INTO "spend" VALUES(3,2,0,'model','2026-05-06 07:08:09.123456',42,'anthropic:claude',10,5,500000000,NULL);
CREATE TABLE steps (
	event_id INTEGER NOT NULL,
	n INTEGER NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (event_id, n)
);
INSERT INTO "steps" VALUES(1,0,'{"n":0,"reply":{"message":{"text":"fine","calls":[],"label":"owner","role":"assistant"},"stop":"end","model":{"provider":"anthropic","name":"claude"},"usage":{"input_tokens":10,"output_tokens":5,"cost_usd":"0.25"},"sources":[]},"kind":"model"}');
INSERT INTO "steps" VALUES(1,1,'{"n":1,"call":{"id":"c","name":"act","arguments":"{}"},"kind":"tool"}');
INSERT INTO "steps" VALUES(2,0,'{"n":0,"reply":{"message":{"text":"fine","calls":[],"label":"owner","role":"assistant"},"stop":"end","model":{"provider":"anthropic","name":"claude"},"usage":{"input_tokens":10,"output_tokens":5,"cost_usd":"0.5"},"sources":[]},"kind":"model"}');
INSERT INTO "steps" VALUES(2,1,'{"n":1,"call":{"id":"c","name":"act","arguments":"{}"},"kind":"tool"}');
CREATE INDEX outbox_state ON outbox (state);
CREATE INDEX blobs_event ON blobs (event_id);
CREATE INDEX outbox_message ON outbox (chat_id, message_id);
CREATE INDEX spend_at ON spend (at);
CREATE INDEX inbox_state ON inbox (state, source);
CREATE INDEX seen_until ON seen (until);
CREATE INDEX jobs_next ON jobs (next_at);
CREATE INDEX runs_job ON runs (job_id);
CREATE INDEX runs_event ON runs (event_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('inbox',3);
INSERT INTO "sqlite_sequence" VALUES('outbox',2);
INSERT INTO "sqlite_sequence" VALUES('blobs',1);
INSERT INTO "sqlite_sequence" VALUES('memory',1);
COMMIT;
