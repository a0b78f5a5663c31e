-- A database of votes as the app of November 2026 made it, before a class had a door: sqlite3 .dump.
BEGIN TRANSACTION;
CREATE TABLE lessons (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind VARCHAR(10) NOT NULL, 
	code VARCHAR(10), 
	source VARCHAR(64), 
	secret_hash VARCHAR(64) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	overlap INTEGER NOT NULL, 
	clean_words BOOLEAN NOT NULL, 
	trained_votes INTEGER NOT NULL, 
	created FLOAT NOT NULL, 
	UNIQUE (code), 
	UNIQUE (source)
);
INSERT INTO "lessons" VALUES(1,'open','open',NULL,'3dc6d2bcff82e6486b0fde5076017cf1c5549439ee5860d08ffbae55a1433b71','open',3,0,0,1000000.0);
INSERT INTO "lessons" VALUES(2,'class','TEBAQN',NULL,'b06e27b22ac4e367361b481cbd593b484a105e36bcd05acbe16b618a742c7c77','open',2,1,0,1000001.0);
CREATE TABLE pairs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	round_id INTEGER NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	prompt TEXT NOT NULL, 
	first TEXT NOT NULL, 
	second TEXT NOT NULL, 
	first_model TEXT NOT NULL, 
	second_model TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	temperature FLOAT NOT NULL, 
	owner_id INTEGER, 
	FOREIGN KEY(round_id) REFERENCES rounds (id) ON DELETE CASCADE, 
	FOREIGN KEY(owner_id) REFERENCES raters (id) ON DELETE CASCADE
);
INSERT INTO "pairs" VALUES(1,2,'plain','Prompt 0',' first 0',' second 0','m','m',0,1.0,NULL);
INSERT INTO "pairs" VALUES(2,2,'plain','Prompt 1',' first 1',' second 1','m','m',0,1.0,NULL);
CREATE TABLE questions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	text VARCHAR(200) NOT NULL, 
	UNIQUE (text)
);
INSERT INTO "questions" VALUES(1,'Which sounds happier?');
CREATE TABLE raters (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lesson_id INTEGER NOT NULL, 
	nickname VARCHAR(40) NOT NULL, 
	nickname_key VARCHAR(80), 
	secret_hash VARCHAR(64) NOT NULL, 
	simulated BOOLEAN NOT NULL, 
	taste TEXT, 
	noise FLOAT, 
	careless BOOLEAN, 
	left_out BOOLEAN NOT NULL, 
	joined FLOAT NOT NULL, 
	last_seen FLOAT NOT NULL, 
	UNIQUE (lesson_id, nickname_key), 
	FOREIGN KEY(lesson_id) REFERENCES lessons (id) ON DELETE CASCADE
);
INSERT INTO "raters" VALUES(1,2,'Ann','ann','740b240ed6129dc592b35a8af5c89140d1a58427b888535c28808c3ae08ecc3d',0,NULL,NULL,NULL,0,1000003.0,1000003.0);
CREATE TABLE rounds (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lesson_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	question_id INTEGER, 
	base TEXT, 
	contender TEXT, 
	a_is_contender BOOLEAN, 
	UNIQUE (lesson_id, number, kind), 
	FOREIGN KEY(lesson_id) REFERENCES lessons (id) ON DELETE CASCADE, 
	FOREIGN KEY(question_id) REFERENCES questions (id) ON DELETE CASCADE
);
INSERT INTO "rounds" VALUES(1,1,1,'feedback','open',NULL,NULL,NULL,NULL);
INSERT INTO "rounds" VALUES(2,2,1,'feedback','open',1,NULL,NULL,NULL);
CREATE TABLE showings (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	pair_id INTEGER NOT NULL, 
	rater_id INTEGER NOT NULL, 
	question_id INTEGER NOT NULL, 
	repeat BOOLEAN NOT NULL, 
	swapped BOOLEAN, 
	shown_at FLOAT NOT NULL, 
	held_at FLOAT NOT NULL, 
	choice VARCHAR(10), 
	voted_at FLOAT, 
	seconds FLOAT, 
	UNIQUE (pair_id, rater_id, question_id, repeat), 
	CONSTRAINT known_choice CHECK (choice IN ('first', 'second', 'tie', 'both_bad', 'skip')), 
	FOREIGN KEY(pair_id) REFERENCES pairs (id) ON DELETE CASCADE, 
	FOREIGN KEY(rater_id) REFERENCES raters (id) ON DELETE CASCADE, 
	FOREIGN KEY(question_id) REFERENCES questions (id) ON DELETE CASCADE
);
INSERT INTO "showings" VALUES(1,1,1,1,0,0,1000004.0,1000004.0,'first',1000005.0,1.0);
CREATE INDEX ix_rounds_question_id ON rounds (question_id);
CREATE INDEX ix_rounds_lesson_id ON rounds (lesson_id);
CREATE INDEX ix_raters_lesson_id ON raters (lesson_id);
CREATE INDEX ix_pairs_owner_id ON pairs (owner_id);
CREATE INDEX ix_pairs_round_id ON pairs (round_id);
CREATE INDEX votes_of_rater ON showings (rater_id, voted_at);
CREATE INDEX ix_showings_rater_id ON showings (rater_id);
CREATE INDEX ix_showings_question_id ON showings (question_id);
CREATE INDEX ix_showings_pair_id ON showings (pair_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('lessons',2);
INSERT INTO "sqlite_sequence" VALUES('rounds',2);
INSERT INTO "sqlite_sequence" VALUES('questions',1);
INSERT INTO "sqlite_sequence" VALUES('pairs',2);
INSERT INTO "sqlite_sequence" VALUES('raters',1);
INSERT INTO "sqlite_sequence" VALUES('showings',1);
COMMIT;
