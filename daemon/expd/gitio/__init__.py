"""Git, through libgit2: the only room that imports pygit2. Everything here blocks and is called in threads.

libgit2 syncs nothing by itself and ignores core.fsync, so that a power cut leaves empty objects behind refs; the
setting below makes it sync every object and every ref it writes, at about two milliseconds each.
"""

import pygit2

pygit2.settings.enable_fsync_gitdir(True)
