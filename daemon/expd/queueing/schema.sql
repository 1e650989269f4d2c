-- The queue. What must never be stored can't be: states, outcomes and their combinations are constraints,
-- the legal changes of state are a trigger (queueing/entry.py holds the same table; a test compares them).

CREATE TABLE submissions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,      -- ids are never used again
    request_id    TEXT NOT NULL UNIQUE CHECK (length(request_id) BETWEEN 8 AND 64),
    held_as       TEXT NOT NULL UNIQUE,                   -- its ref, below refs/expd/entries/
    git_directory TEXT NOT NULL,                          -- the common directory: one repository, many work trees
    workspace     TEXT NOT NULL,
    root          TEXT NOT NULL,
    directory     TEXT NOT NULL,
    cache         TEXT NOT NULL,
    baseline_rev  TEXT NOT NULL CHECK (length(baseline_rev) = 40),
    message       TEXT,
    command       TEXT CHECK (command IS NULL OR json_valid(command)),
    targets       TEXT NOT NULL CHECK (json_valid(targets)),
    force         INTEGER NOT NULL CHECK (force IN (0, 1)),
    stage_options TEXT NOT NULL CHECK (json_valid(stage_options)), -- expproto.stage_options, one value
    limits        TEXT NOT NULL CHECK (json_valid(limits)), -- expproto.limits, one value
    retries       TEXT NOT NULL CHECK (json_valid(retries)), -- expproto.retries, one value
    umask         INTEGER NOT NULL CHECK (umask BETWEEN 0 AND 511),
    name          TEXT,                                   -- as asked for: the entry's, or the whole sweep's
    mode          TEXT NOT NULL CHECK (mode IN ('queue', 'temp', 'workspace')),
    captured_tree TEXT NOT NULL CHECK (length(captured_tree) = 40), -- the workspace before the overrides
    copies        TEXT CHECK (copies IS NULL OR length(copies) = 32), -- the listing of files copied beside the capture
    as_stage      INTEGER NOT NULL DEFAULT 0 CHECK (as_stage = 0 OR (as_stage = 1 AND command IS NOT NULL)),
    max_failures  INTEGER CHECK (max_failures >= 1),      -- points that may fail before those that wait are ended
    engine        TEXT NOT NULL DEFAULT 'local' CHECK (engine <> ''), -- who executes it: this host, or an engine by its name
    engine_queue  TEXT,                                   -- which of that engine's queues
    pushes_data   INTEGER NOT NULL DEFAULT 0 CHECK (pushes_data IN (0, 1)), -- outputs go to the DVC remote
    verifies      TEXT CHECK (verifies IS NULL OR length(verifies) = 40), -- the experiment that is repeated: no result of its own
    submitted_at  REAL NOT NULL
) STRICT;
CREATE INDEX submissions_by_name ON submissions (name) WHERE name IS NOT NULL;

-- Where submissions came from, also when none of them is left: a crash after the rows of the last one leaves its ref there.
CREATE TABLE repositories (git_directory TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TRIGGER repository_known AFTER INSERT ON submissions BEGIN
    INSERT OR IGNORE INTO repositories VALUES (NEW.git_directory);
END;

-- Apart from the rest, because it may hold secrets and is wiped when nothing will need it again.
CREATE TABLE environments (
    submission INTEGER PRIMARY KEY REFERENCES submissions (id) ON DELETE CASCADE,
    variables  BLOB NOT NULL
) STRICT;

CREATE TABLE entries (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    submission    INTEGER NOT NULL REFERENCES submissions (id),
    git_directory TEXT NOT NULL,                          -- five repeated from the submission for the indexes below
    baseline_rev  TEXT NOT NULL,
    mode          TEXT NOT NULL,
    engine        TEXT NOT NULL,
    workspace     TEXT CHECK ((workspace IS NOT NULL) = (mode = 'workspace')), -- where it runs in place
    name          TEXT NOT NULL,
    stash_rev     TEXT NOT NULL CHECK (length(stash_rev) = 40),
    params        TEXT NOT NULL CHECK (json_valid(params)),
    attempt       INTEGER NOT NULL DEFAULT 1 CHECK (attempt >= 1), -- the present one; it has a run once it is claimed
    state         TEXT NOT NULL CHECK (state IN ('held', 'queued', 'preparing', 'running', 'collecting', 'done')),
    retries_used  INTEGER NOT NULL DEFAULT 0 CHECK (retries_used >= 0), -- since somebody last asked for it to be run
    losses        INTEGER NOT NULL DEFAULT 0 CHECK (losses >= 0), -- runs lost in a row
    not_before    REAL CHECK (not_before IS NULL OR state IN ('held', 'queued')), -- NULL: may be claimed
    hold_reason   TEXT CHECK (hold_reason IS NULL OR state = 'held'), -- why we hold it; NULL where the user does
    resumes       INTEGER,                                -- the run in whose kept worktree the present attempt goes on
    grp           TEXT NOT NULL REFERENCES groups (name), -- whose slots it takes
    priority      INTEGER NOT NULL DEFAULT 0,
    place         REAL NOT NULL,                          -- among equal priorities the lower one goes first
    blocked       INTEGER NOT NULL DEFAULT 0 CHECK (blocked >= 0), -- entries that have to end first
    at_once       INTEGER NOT NULL CHECK (at_once IN (0, 1)), -- waits for no slot, and takes none
    limits        TEXT CHECK (limits IS NULL OR json_valid(limits)), -- where it was edited since; NULL: the submission's
    retries       TEXT CHECK (retries IS NULL OR json_valid(retries)), -- likewise
    edited_by     TEXT,                                   -- the request that gave it other parameters last
    standing      TEXT NOT NULL GENERATED ALWAYS AS (     -- what the pool counts it as
        CASE WHEN state IN ('preparing', 'running', 'collecting') THEN 'active'
             WHEN state = 'queued' AND not_before IS NULL AND blocked = 0 THEN 'ready'
             WHEN state = 'queued' THEN 'waiting' ELSE state END) STORED,
    outcome_kind  TEXT CHECK (outcome_kind IN ('succeeded', 'failed', 'killed', 'out_of_memory', 'not_started', 'cancelled', 'timed_out', 'refused', 'lost', 'skipped')),
    outcome       TEXT CHECK (outcome IS NULL OR json_valid(outcome)),
    ended_at      REAL,
    CHECK ((state = 'done') = (outcome_kind IS NOT NULL)),
    CHECK ((outcome_kind IS NULL) = (outcome IS NULL)),
    CHECK ((outcome_kind IS NULL) = (ended_at IS NULL))
) STRICT;

-- A name belongs to one living entry under a baseline, whatever its case; a finished one's name is held by its ref.
CREATE UNIQUE INDEX one_living_entry_a_name ON entries (git_directory, baseline_rev, name COLLATE NOCASE) WHERE state <> 'done';
-- A workspace is given to one run at once.
CREATE UNIQUE INDEX one_living_entry_a_workspace ON entries (workspace) WHERE workspace IS NOT NULL AND state <> 'done';
CREATE INDEX entries_by_state ON entries (state, id) WHERE state <> 'done';
CREATE INDEX entries_by_turn ON entries (engine, at_once, grp, priority DESC, place) WHERE standing = 'ready';
CREATE INDEX entries_by_end ON entries (ended_at, id) WHERE state = 'done';
CREATE INDEX entries_by_time ON entries (not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
CREATE INDEX entries_behind_others ON entries (id) WHERE state = 'queued' AND blocked > 0;
CREATE INDEX entries_by_submission ON entries (submission);
CREATE INDEX entries_by_name ON entries (name);
CREATE INDEX entries_by_edit ON entries (edited_by) WHERE edited_by IS NOT NULL;

CREATE TABLE runs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    entry         INTEGER NOT NULL REFERENCES entries (id),
    attempt       INTEGER NOT NULL CHECK (attempt >= 1),
    token         TEXT NOT NULL UNIQUE,
    worker        TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    start_ticks   INTEGER NOT NULL,
    boot_id       TEXT NOT NULL,
    log           TEXT NOT NULL,
    record        TEXT NOT NULL,
    worktree      TEXT NOT NULL,
    cancel_reason TEXT,
    cancel_at     REAL,
    cancel_signal INTEGER CHECK (cancel_signal BETWEEN 1 AND 64),
    frozen_at     REAL,                                   -- since when it is to stand still
    claimed_at    REAL NOT NULL,
    started_at    REAL,
    ended_at      REAL,
    outcome       TEXT CHECK (outcome IS NULL OR json_valid(outcome)),
    context       TEXT CHECK (context IS NULL OR json_valid(context)), -- in what it took place; none of a run that was lost
    progress      TEXT CHECK (progress IS NULL OR json_valid(progress)), -- how far it was when it ended
    noted         INTEGER NOT NULL DEFAULT 0 CHECK (noted IN (0, 1)), -- no note of the context is left to be written
    UNIQUE (entry, attempt),
    CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CHECK ((cancel_reason IS NULL) = (cancel_at IS NULL)),
    CHECK (context IS NULL OR ended_at IS NOT NULL)
) STRICT;

CREATE INDEX runs_without_note ON runs (id) WHERE noted = 0 AND context IS NOT NULL;
CREATE INDEX frozen_runs ON runs (entry) WHERE frozen_at IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX one_living_run_an_entry ON runs (entry) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_run_a_worktree ON runs (worktree) WHERE ended_at IS NULL;

-- What waits for what (--after). A dependency is met once, and stays so.
CREATE TABLE dependencies (
    entry     INTEGER NOT NULL REFERENCES entries (id),
    needs     INTEGER NOT NULL REFERENCES entries (id),
    condition TEXT NOT NULL CHECK (condition IN ('ok', 'any', 'failed')),
    met       INTEGER NOT NULL DEFAULT 0 CHECK (met IN (0, 1)),
    PRIMARY KEY (entry, needs),
    CHECK (entry <> needs)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_by_need ON dependencies (needs);

-- What happened, in order; the state above is the newest line of it.
CREATE TABLE transitions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    entry        INTEGER NOT NULL REFERENCES entries (id),
    attempt      INTEGER NOT NULL,
    at           REAL NOT NULL,
    state_before TEXT,
    state_after  TEXT NOT NULL
) STRICT;
CREATE INDEX transitions_by_entry ON transitions (entry);

-- Up to which of them somebody was told; no row while nobody wants to be.
CREATE TABLE news (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    told_through INTEGER NOT NULL
) STRICT;

-- Whose refs these are, in repositories that several daemons may use.
CREATE TABLE store (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL CHECK (length(name) = 8)
) STRICT;
INSERT INTO store (id, name) VALUES (1, lower(hex(randomblob(4))));

CREATE TABLE pool (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    paused INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

-- Slots by the name of who shares them; what names no group is in the one called default.
CREATE TABLE groups (
    name   TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    jobs   INTEGER NOT NULL CHECK (jobs >= 0),
    paused INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

-- How many entries stand where: kept by triggers, so that nothing the pool asks depends on how many there are.
CREATE TABLE tallies (
    engine   TEXT NOT NULL,
    grp      TEXT NOT NULL,
    at_once  INTEGER NOT NULL,
    standing TEXT NOT NULL,
    n        INTEGER NOT NULL,
    PRIMARY KEY (engine, grp, at_once, standing)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tally_new AFTER INSERT ON entries
BEGIN
    INSERT INTO tallies VALUES (NEW.engine, NEW.grp, NEW.at_once, NEW.standing, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_gone AFTER DELETE ON entries
BEGIN
    UPDATE tallies SET n = n - 1
        WHERE engine = OLD.engine AND grp = OLD.grp AND at_once = OLD.at_once AND standing = OLD.standing;
END;
CREATE TRIGGER tally_changed AFTER UPDATE OF state, not_before, blocked, grp, at_once, engine ON entries
WHEN OLD.standing <> NEW.standing OR OLD.grp <> NEW.grp OR OLD.at_once <> NEW.at_once OR OLD.engine <> NEW.engine
BEGIN
    UPDATE tallies SET n = n - 1
        WHERE engine = OLD.engine AND grp = OLD.grp AND at_once = OLD.at_once AND standing = OLD.standing;
    INSERT INTO tallies VALUES (NEW.engine, NEW.grp, NEW.at_once, NEW.standing, 1)
        ON CONFLICT DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER legal_changes_only BEFORE UPDATE OF state ON entries
WHEN NOT (
       (OLD.state = 'held'       AND NEW.state IN ('queued', 'done'))
    OR (OLD.state = 'queued'     AND NEW.state IN ('held', 'preparing', 'done'))
    OR (OLD.state = 'preparing'  AND NEW.state IN ('running', 'collecting', 'done'))
    OR (OLD.state = 'running'    AND NEW.state IN ('collecting', 'done'))
    OR (OLD.state = 'collecting' AND NEW.state IN ('done'))
    OR (OLD.state IN ('preparing', 'running', 'collecting') AND NEW.state IN ('held', 'queued') AND NEW.attempt = OLD.attempt + 1)
    OR (OLD.state = 'done'       AND NEW.state IN ('queued') AND NEW.attempt = OLD.attempt + 1)
)
BEGIN
    SELECT RAISE(ABORT, 'illegal change of state');
END;
