/* SPDX-License-Identifier: MIT
 *
 * The handover, by which connections outlive the runs of the service. src/README.md draws it.
 *
 * A master, a handler for each connection and systemd share the state below. Each d_step is one step: nothing
 * interrupts it, and it has at most one effect that another process can see. A crash can come between any two.
 * A master, and systemd, are several processes here: one for what concerns no handler, one for each handler.
 *
 * The number c of a connection is its cookie and the number of its handler, as a run forks one for each. Sets of
 * connections are bits; a peer numbers its bytes from 1. A file's name is the number of the run that made it.
 *
 * REVERT_ takes one part of the protocol away. The state "for the proof" must decide nothing: only properties and
 * the limits of the search read it. A value that nothing reads any more is 0, so that fewer states differ.
 */

#ifndef CONNECTIONS
#define CONNECTIONS 3
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef RESTARTS
#define RESTARTS 2
#endif
#ifndef STRAYS
#define STRAYS 1
#endif
#ifndef LATE /* connections that a run accepts at any time, and not the first at its start: 0 or 1 */
#define LATE 1
#endif
#ifdef TRACE /* whichever connection has an unsent byte */
#define BYTES(c) 1
#endif
#ifndef BYTES /* that the peer of c sends */
#define BYTES(c) (c == 0 -> 2 : (c == 1 -> 1 : 0))
#endif

#define RUNS       (2 + RESTARTS + CRASHES) /* number 0 is no run's */
#define CLOSES(c)  (c == 0)                 /* its peer may close it */
#define ONE(c)     (1 << (c))
#define HAS(set, c) (((set) >> (c)) & 1)
#define ADD(set, c) set = set | ONE(c)
#define DROP(set, c) set = set & ~ONE(c)

/* The properties. A failed assertion shows the name. ONLY arms one of them, or none. */
#define HOLDER     1
#define ONE_WRITER 2
#define ONCE       3
#define IN_ORDER   4
#define KEPT       5
#define ACCOUNTS   6
#define CLOSED     7
#define STOP_ENDS  8
#ifdef ONLY
#define BUT_NOT(property) (ONLY != property)
#else
#define BUT_NOT(property) false
#endif
bool holder = BUT_NOT(HOLDER);
bool one_writer = BUT_NOT(ONE_WRITER);
bool once = BUT_NOT(ONCE);
bool in_order = BUT_NOT(IN_ORDER);
bool kept = BUT_NOT(KEPT);
bool accounts = BUT_NOT(ACCOUNTS);
bool closed = BUT_NOT(CLOSED);
bool stop_ends = BUT_NOT(STOP_ENDS);
#define PROPERTY(name, condition) assert((condition) || name)

/* The states of interest. A search for PROBE fails where it reaches that state. */
#ifdef PROBE
bool reached = false;
#define REACHED(name, condition) assert(!(name == PROBE && (condition)) || reached)
#else
#define REACHED(name, condition) skip
#endif
#define SECOND_RESTART  1
#define DUPLICATE       2
#define UNSENT          3
#define DECLINED        4
#define OWN_BUNDLE      5
#define BUNDLE_OF_MANY  6
#define ENDED_MEANWHILE 7
#define LOGGED_BEFORE   8
#define IGNORED         9
#define DISBELIEVED     10
#define TWO_BUNDLES     11
#define UNSENT_TAKEN    12
#define CRASHED_STARTING 13

/* What an observer of a service sees, and what it saw next in a run that the model is to repeat: README.md. Other
 * steps can come in between. */
#ifdef TRACE
#include "trace.pml"
#define EVENT(event, of) expected == 16 * (event) + (of) -> advance()
#else
#define EVENT(event, of) true
#endif

/* Handlers. */
mtype = { none, taking, marking, serving, giving, given, storing, zombie }; /* what it does */
mtype = { ended, handed_over, crashed };                            /* how it has ended */
mtype = { silence, stored, declined };                              /* what it is answered */
mtype does[CONNECTIONS] = none;
mtype code[CONNECTIONS] = ended;
mtype answer[CONNECTIONS] = silence;
byte buffer[CONNECTIONS]; /* the byte that it has read and not written, or 0 */
byte source[CONNECTIONS]; /* the run whose unsent byte it inherits; 0: none */
byte told;                /* to stop, and not yet stopping */
byte gifts;               /* messages to the master, on their way */
byte bare;                /* those without the unsent byte behind the connection */
byte own;                 /* FDSTORE for one handler, on its way to systemd */
byte noted;               /* the connections of this run that the keeper has taken */

/* Masters. */
mtype = { dead, beginning, storing_ledger, restoring, starting, removing, up, stopping, collecting };
mtype master_does = removing; /* the model begins where the first run has nothing to restore */
byte run_number = 1;
byte cursor;       /* the connection that is being restored */
byte collected;    /* gifts of the bundle that is being stored */
byte stored_by_us; /* the connections that this master has stored */
bool terminated;   /* SIGTERM waits for it */
byte removing_own; /* FDSTOREREMOVE of bundles of one handler, on their way */
mtype = { nothing, the_ledger, the_bundle, the_bundles, the_ledgers };
mtype asked = nothing; /* what is on the master's way to systemd: FDSTORE or FDSTOREREMOVE, and BARRIER */

/* Of each run: in systemd's store, and the files that what is there refers to. */
byte bundles[RUNS];     /* connections in the master's bundles */
byte own_bundles[RUNS]; /* connections in those of one handler */
bool ledger_stored[RUNS];
byte ledger[RUNS]; /* the connections that it lists */
byte lacking[RUNS]; /* connections in the master's bundles without what is unsent */
typedef Files {
        byte byte_of[CONNECTIONS]; /* what is unsent; or 0 */
        byte taken;
};
Files unsent[RUNS];

/* systemd. */
mtype = { watching, asking, waiting, finishing };
mtype manager_does = watching;

/* What may happen. */
byte crashes = CRASHES, restarts = RESTARTS, strays = STRAYS;

/* For the proof. */
byte accepted;
byte sent[CONNECTIONS];    /* by the peer, and read */
byte written[CONNECTIONS]; /* back to the peer */
byte finished;             /* its handler has ended it */
byte logged;               /* its record was written */
byte excused;              /* it may be lost: its handler crashed, its peer closed it, it alone was told to stop */

/* Of one step; 0 between two. */
byte i, held, newest, lister;
#define TIDY i = 0; held = 0; newest = 0; lister = 0

#define ALIVE(c)  (does[c] != none && does[c] != zombie)
#define MASTER_LIVES (master_does != dead)
#if CONNECTIONS == 3
#define NO_HANDLERS (does[0] == none && does[1] == none && does[2] == none)
#define NONE_ALIVE  (!ALIVE(0) && !ALIVE(1) && !ALIVE(2))
#else
#define NO_HANDLERS (does[0] == none && does[1] == none)
#define NONE_ALIVE  (!ALIVE(0) && !ALIVE(1))
#endif

/* A connection that is not over has a holder: a process, a message on its way, or the store. */
inline check_holders() {
        for (i : 1 .. RUNS - 1) {
                held = held | bundles[i] | own_bundles[i]
        };
        held = held | own;
        if
        :: MASTER_LIVES -> held = held | gifts | collected
        :: !MASTER_LIVES && asked == the_bundle -> held = held | collected
        :: else
        fi;
        for (i : 0 .. CONNECTIONS - 1) {
                if
                :: ALIVE(i) -> ADD(held, i)
                :: else
                fi
        }
        PROPERTY(holder, (accepted & ~(held | excused)) == 0);
        TIDY
}

/* Writes the record of the end of c. Bytes of c count no more. */
inline log_end(c) {
        PROPERTY(accounts, !HAS(logged, c));
        PROPERTY(kept, HAS(excused, c));
        ADD(logged, c);
        ADD(excused, c);
        DROP(finished, c);
#ifndef NO_LEDGER
        sent[c] = 0;
        written[c] = 0;
        unsent[run_number].byte_of[c] = 0
#endif
}

inline fork_handler(c, first) {
        PROPERTY(one_writer, does[c] == none);
        PROPERTY(accounts, !HAS(logged | finished, c));
        does[c] = first;
        buffer[c] = 0;
        DROP(told, c);
        DROP(excused, c)
}

inline exit_handler(c, how) {
        if
        :: MASTER_LIVES -> does[c] = zombie; code[c] = how
        :: else -> does[c] = none
        fi;
        answer[c] = silence;
        buffer[c] = 0;
        DROP(told, c);
        if
        :: how != handed_over -> ADD(excused, c)
        :: else
        fi;
        if
        :: how == ended -> ADD(finished, c)
        :: else
        fi
}

/* Sends FDSTORE and BARRIER: one message, as no process relies on anything between them. */
inline store_own(c) {
        ADD(own, c);
        ADD(noted, c);
        does[c] = storing
}

#ifdef NO_LEDGER
#define LEDGER_READ(run) false
#else
#define LEDGER_READ(run) ledger_stored[run]
#endif

/* The next master finds c in the stored ledger of this run: it does not look at the files of older bundles. */
#define LISTED(c) (LEDGER_READ(run_number) && HAS(ledger[run_number], c))

inline write_byte(c) {
        PROPERTY(once, buffer[c] > written[c]);
        PROPERTY(in_order, buffer[c] <= written[c] + 1);
        written[c] = buffer[c];
        buffer[c] = 0
}

active [CONNECTIONS] proctype handler() {
        byte c = _pid;

end:    do
        /* Takes over the unsent byte: it marks the file before it writes. */
        :: d_step { does[c] == taking && EVENT(READS_UNSENT, c) ->
                REACHED(UNSENT, true);
                buffer[c] = unsent[source[c]].byte_of[c];
                does[c] = marking
           }
        :: d_step { does[c] == marking && EVENT(EMPTIES_UNSENT, c) ->
#ifndef REVERT_NOT_MARKED
                if
                :: HAS(bundles[source[c]] | own_bundles[source[c]], c) && !LISTED(c) ->
                        ADD(unsent[source[c]].taken, c)
                :: else
                fi;
                unsent[source[c]].byte_of[c] = 0;
#endif
                source[c] = 0;
                does[c] = serving
           }
        /* The file cannot be read: the connection ends, as a byte is missing. */
        :: d_step { does[c] == taking && crashes > 0 && EVENT(EXITS_ENDED, c) ->
                crashes--;
                source[c] = 0;
#ifdef REVERT_UNSENT_DROPPED
                does[c] = serving
#else
                exit_handler(c, ended)
#endif
           }

        /* Echoes. */
        :: d_step { does[c] == serving && buffer[c] == 0 && sent[c] < BYTES(c) ->
                sent[c]++;
                buffer[c] = sent[c]
           }
        :: d_step { does[c] == serving && buffer[c] != 0 -> write_byte(c) }
#ifdef TRACE
        /* The first write of a handler that has read an unsent byte is an event, no other one is. */
        :: d_step { does[c] == serving && buffer[c] != 0 && EVENT(WRITES_UNSENT, c) -> write_byte(c) }
#endif
        :: d_step { does[c] == serving && buffer[c] == 0 && CLOSES(c) && EVENT(EXITS_ENDED, c) ->
                exit_handler(c, ended)
           }

        /* Another process sends SIGTERM to this handler alone. */
        :: d_step { does[c] == serving && strays > 0 && !HAS(told, c) && manager_does == watching ->
                strays--;
                ADD(told, c);
                ADD(excused, c)
           }
        :: d_step { ALIVE(c) && crashes > 0 && EVENT(IS_KILLED, c) ->
                crashes--;
                source[c] = 0;
                DROP(bare, c);
                exit_handler(c, crashed);
                check_holders()
           }

        /* Stops. */
        :: d_step { does[c] == serving && HAS(told, c) &&
                    EVENT((MASTER_LIVES -> GIVES : STORES_OWN), c) ->
                DROP(told, c);
                unsent[run_number].byte_of[c] = buffer[c];
                if
                :: MASTER_LIVES ->
                        ADD(gifts, c);
                        does[c] = given;
#ifdef REVERT_UNSENT_AFTER
                        if
                        :: buffer[c] != 0 -> ADD(bare, c); does[c] = giving
                        :: else
                        fi
#endif
                :: else -> store_own(c)
                fi
           }
#ifdef REVERT_UNSENT_AFTER
        :: d_step { does[c] == giving ->
                DROP(bare, c);
                does[c] = given
           }
#endif
#ifdef REVERT_ANY_MASTER
        /* Another process listens at the dead master's address, and answers. */
        :: d_step { does[c] == serving && HAS(told, c) && !MASTER_LIVES ->
                exit_handler(c, handed_over);
                check_holders()
           }
#endif
        :: d_step { does[c] == given && answer[c] == stored && EVENT(EXITS_STORED, c) ->
                exit_handler(c, handed_over);
                check_holders()
           }
        :: d_step { does[c] == given && answer[c] == declined && EVENT(EXITS_DECLINED, c) ->
                exit_handler(c, ended)
           }
#ifndef REVERT_WAITS_FOR_EVER
        /* The master is gone, or the handler loses its patience, at any time. */
        :: d_step { does[c] == given && answer[c] == silence && EVENT(STORES_OWN, c) -> store_own(c) }
#endif
#ifdef REVERT_NO_BARRIER
        :: d_step { does[c] == storing && EVENT(EXITS_OWN, c) ->
#else
        :: d_step { does[c] == storing && !HAS(own, c) && EVENT(EXITS_OWN, c) ->
#endif
                REACHED(OWN_BUNDLE, true);
                exit_handler(c, handed_over);
                check_holders()
           }
        od
}

/* Writes the record of a connection that ended in an earlier run, and clears it in that run's ledger. */
inline bury(c) {
        log_end(c);
#ifndef REVERT_NOT_CLEARED
        for (i : 1 .. run_number) {
                DROP(ledger[i], c)
        };
        TIDY
#endif
}

/* The master, with one handler. */
active [CONNECTIONS] proctype master_and_handler() {
        byte c = _pid - CONNECTIONS;

end:    do
        /* Declines; but systemd sends SIGTERM to the master first, and the master looks for it here. */
#ifdef REVERT_DECLINES_UNSEEN
        :: d_step { master_does == up && HAS(gifts, c) && does[c] != none ->
#else
        :: d_step { master_does == up && HAS(gifts, c) && does[c] != none && !terminated &&
                    EVENT(DECLINES, c) ->
#endif
#ifndef REVERT_TWO_ANSWERS
                DROP(gifts, c);
#endif
                if
                :: does[c] == given ->
                        REACHED(DECLINED, true);
                        PROPERTY(kept, HAS(excused, c));
                        answer[c] = declined
                :: else
                fi
           }
        :: d_step { master_does == stopping && HAS(gifts, c) && does[c] != none && EVENT(COLLECTS, c) ->
                DROP(gifts, c);
                ADD(collected, c);
                if
                :: HAS(bare, c) -> ADD(lacking[run_number], c)
                :: else
                fi
           }

        /* Reaps. What the handler has given may be in the bundle that comes next. */
        :: d_step { (master_does == up || master_does == stopping) && does[c] == zombie &&
#ifndef REVERT_DISBELIEVES_UNSEEN
                    !(master_does == up && terminated && code[c] == handed_over) &&
#endif
                    !HAS(removing_own, c) && EVENT(REAPS, c) ->
                does[c] = none;
                DROP(gifts, c);
                if
                :: code[c] != ended && HAS(stored_by_us, c)
#ifdef REVERT_BELIEVED
                :: code[c] == handed_over
#else
                :: code[c] == handed_over && master_does == stopping && !HAS(stored_by_us, c)
#endif
                :: else ->
                        log_end(c);
                        DROP(ledger[run_number], c);
                        if
                        :: code[c] == handed_over -> REACHED(DISBELIEVED, true)
                        :: else
                        fi;
#ifndef REVERT_NOT_REMOVED
                        if
                        :: HAS(noted, c) -> ADD(removing_own, c)
                        :: else
                        fi
#endif
                fi;
                DROP(stored_by_us, c);
                DROP(noted, c);
                code[c] = ended
           }
        od
}

inline end_master() {
        master_does = dead;
        terminated = false;
        gifts = 0;
        bare = 0;
        stored_by_us = 0;
        cursor = 0;
        if
        :: manager_does != watching || strays == 0 -> manager_does = waiting /* they go on in the same way */
        :: else
        fi;
        if
        :: asked != the_bundle -> collected = 0
        :: else
        fi;
        for (i : 0 .. CONNECTIONS - 1) {
                if
                :: does[i] == zombie -> does[i] = none; code[i] = ended
                :: else
                fi
        }
        check_holders()
}

inline answer_collected() {
        for (i : 0 .. CONNECTIONS - 1) {
                if
                :: HAS(collected, i) && does[i] == given -> answer[i] = stored
                :: else
                fi
        }
        stored_by_us = stored_by_us | collected;
        TIDY
}

inline tell_all() {
        for (i : 0 .. CONNECTIONS - 1) {
                if
                :: does[i] == taking || does[i] == marking || does[i] == serving -> ADD(told, i)
                :: else
                fi
        };
        TIDY
}

/* Finds the newest bundle with the connection at the cursor, and the newest ledger that lists it. */
inline find() {
        newest = 0;
        lister = 0;
        for (i : 1 .. run_number - 1) {
                if
#ifdef REVERT_OLDEST_FIRST
                :: HAS(bundles[i] | own_bundles[i], cursor) && newest == 0 -> newest = i
#else
                :: HAS(bundles[i] | own_bundles[i], cursor) ->
                        REACHED(TWO_BUNDLES, newest != 0);
                        newest = i
#endif
                :: else
                fi;
                if
                :: LEDGER_READ(i) && HAS(ledger[i], cursor) -> lister = i
                :: else
                fi
        }
}

/* Decides what becomes of the connection at the cursor. */
inline judge() {
        find();
        if
        :: newest == 0 && lister == 0 -> cursor++
        :: newest == 0 && lister != 0 -> bury(cursor); cursor++
#ifndef REVERT_RESUMED_THOUGH_LISTED
        :: newest != 0 && lister > newest ->
                REACHED(ENDED_MEANWHILE, true);
                bury(cursor);
                cursor++
#endif
#ifndef REVERT_RESUMED_THOUGH_LOGGED
        :: newest != 0 && lister <= newest && LEDGER_READ(newest) && !HAS(ledger[newest], cursor) ->
                REACHED(LOGGED_BEFORE, true);
                cursor++
#endif
        :: else ->
                if
                :: HAS(unsent[newest].taken, cursor) ->
                        REACHED(UNSENT_TAKEN, true);
                        bury(cursor);
                        cursor++
                :: else ->
                        ADD(ledger[run_number], cursor);
                        source[cursor] = newest;
                        master_does = starting
                fi
        fi
}

/* Forks the handler of a resumed connection. Another copy in the store is a duplicate. */
inline start() {
        newest = source[cursor];
        if
        :: unsent[newest].byte_of[cursor] != 0 && !HAS(lacking[newest], cursor) ->
                fork_handler(cursor, taking)
        :: else ->
                fork_handler(cursor, serving);
                source[cursor] = 0
        fi;
        if
        :: HAS(bundles[newest] & own_bundles[newest], cursor) ->
                REACHED(DUPLICATE, true);
#ifdef REVERT_DUPLICATES
                fork_handler(cursor, serving)
#endif
        :: else
        fi;
        cursor++;
        master_does = restoring
}

active proctype master() {
end:    do
        /* systemd has the ledger before the master forks a handler. */
        :: d_step { master_does == beginning && asked == nothing && EVENT(ASKS_LEDGER, 0) ->
                asked = the_ledger;
                cursor = 0;
                master_does = storing_ledger
           }
#ifdef REVERT_LEDGER_NO_BARRIER
        :: d_step { master_does == storing_ledger ->
#else
        :: d_step { master_does == storing_ledger && asked == nothing ->
#endif
                master_does = restoring;
#ifdef REVERT_STARTED_TOGETHER
                for (i : 1 .. run_number - 1) {
                        ledger[run_number] = ledger[run_number] | (ledger[i] & (bundles[i] | own_bundles[i]))
                }
                TIDY
#endif
           }
        :: d_step { master_does == restoring && cursor < CONNECTIONS -> judge(); TIDY }
        :: d_step { master_does == starting && EVENT(FORKS, cursor) -> start(); TIDY }
        :: d_step { master_does == restoring && cursor == CONNECTIONS && asked == nothing &&
                    EVENT(ASKS_REMOVAL, 0) ->
                cursor = 0;
                asked = the_bundles;
                master_does = removing
           }
        /* systemd has removed the old bundles before the master reaps: the next master must not find them. */
#ifdef REVERT_REMOVE_NO_BARRIER
        :: d_step { master_does == removing && EVENT(IS_READY, 0) ->
#else
        :: d_step { master_does == removing && asked == nothing && EVENT(IS_READY, 0) ->
#endif
                master_does = up;
                if
                :: run_number == 1 ->
                        ledger_stored[1] = true;
                        for (i : 0 .. CONNECTIONS - 1 - LATE) {
                                ADD(accepted, i);
                                ADD(ledger[run_number], i);
                                fork_handler(i, serving)
                        };
                        TIDY
                :: else
                fi
           }

        :: d_step { master_does == up && !HAS(accepted, CONNECTIONS - 1) ->
                ADD(accepted, CONNECTIONS - 1);
                ADD(ledger[run_number], CONNECTIONS - 1);
                fork_handler(CONNECTIONS - 1, serving)
           }
        :: d_step { master_does == up && terminated ->
                terminated = false;
                master_does = stopping;
                tell_all()
           }
        :: d_step { master_does == stopping && collected != 0 && asked == nothing && EVENT(ASKS_BUNDLE, 0) ->
                REACHED(BUNDLE_OF_MANY, (collected & (collected - 1)) != 0);
                asked = the_bundle;
#ifdef REVERT_ANSWER_FIRST
                answer_collected();
#endif
                master_does = collecting
           }
        :: d_step { master_does == collecting && asked == nothing && EVENT(ANSWERS, collected) ->
#ifndef REVERT_ANSWER_FIRST
                answer_collected();
#endif
                collected = 0;
                master_does = stopping
           }
        :: d_step { master_does == stopping && collected == 0 && NO_HANDLERS &&
                    EVENT(MASTER_EXITS, 0) -> end_master() }
        :: d_step { MASTER_LIVES && accepted != 0 && crashes > 0 && EVENT(MASTER_IS_KILLED, 0) ->
                crashes--;
                REACHED(CRASHED_STARTING, crashes == 0 && master_does == starting);
                if
                :: master_does == starting -> ADD(excused, cursor); source[cursor] = 0
                :: else
                fi;
                end_master()
           }
        od
}

/* systemd, with the messages of one handler. It may ignore those of a process that is gone. */
active [CONNECTIONS] proctype manager_and_handler() {
        byte c = _pid - 2 * CONNECTIONS - 1;

end:    do
        :: d_step { HAS(own, c) && EVENT(TAKES_OWN, c) ->
                DROP(own, c);
                ADD(own_bundles[run_number], c)
           }
        :: d_step { HAS(own, c) && !ALIVE(c) ->
                REACHED(IGNORED, true);
                DROP(own, c);
                check_holders()
           }
        :: d_step { HAS(removing_own, c) && !HAS(own, c) ->
                DROP(removing_own, c);
#ifdef REVERT_OWN_REMOVED_BY_RUN
                own_bundles[run_number] = 0;
                bundles[run_number] = 0;
#else
                DROP(own_bundles[run_number], c);
#endif
                check_holders()
           }
        :: d_step { HAS(removing_own, c) && !MASTER_LIVES -> DROP(removing_own, c) }
        od
}

#ifdef REVERT_FORGET_BY_NAME
#define LAST_REMOVED run_number
#else
#define LAST_REMOVED run_number - 1
#endif
inline remove_bundles() {
        for (i : 1 .. LAST_REMOVED) {
                bundles[i] = 0;
                own_bundles[i] = 0;
                lacking[i] = 0;
                unsent[i].taken = 0
        };
        TIDY
}

inline remove_ledgers() {
        for (i : 1 .. run_number - 1) {
                ledger_stored[i] = false;
                ledger[i] = 0
        };
        TIDY
}

/* Does what the master's message says. */
inline obey() {
        if
        :: asked == the_ledger -> ledger_stored[run_number] = true; asked = nothing
        :: asked == the_bundle ->
                bundles[run_number] = bundles[run_number] | collected;
                asked = nothing;
                if
                :: !MASTER_LIVES -> collected = 0
                :: else
                fi
#ifdef REVERT_LEDGERS_REMOVED_FIRST
        :: asked == the_bundles -> remove_ledgers(); asked = the_ledgers
        :: asked == the_ledgers -> remove_bundles(); asked = nothing
#else
        :: asked == the_bundles -> remove_bundles(); asked = the_ledgers
        :: asked == the_ledgers -> remove_ledgers(); asked = nothing
#endif
        fi;
        check_holders()
}

/* Numbers the stored runs from 1: only their order matters, and fewer states differ. */
inline renumber() {
        newest = 0;
        for (i : 1 .. RUNS - 1) {
                if
                :: ledger_stored[i] || (bundles[i] | own_bundles[i]) != 0 ->
                        newest++;
                        if
                        :: newest < i ->
                                bundles[newest] = bundles[i];
                                own_bundles[newest] = own_bundles[i];
                                lacking[newest] = lacking[i];
                                ledger_stored[newest] = ledger_stored[i];
                                ledger[newest] = ledger[i];
                                unsent[newest].taken = unsent[i].taken;
                                bundles[i] = 0;
                                own_bundles[i] = 0;
                                lacking[i] = 0;
                                ledger_stored[i] = false;
                                ledger[i] = 0;
                                unsent[i].taken = 0;
                                for (held : 0 .. CONNECTIONS - 1) {
                                        unsent[newest].byte_of[held] = unsent[i].byte_of[held];
                                        unsent[i].byte_of[held] = 0
                                }
                        :: else
                        fi
                :: else
                fi
        }
        run_number = newest + 1
}

/* Starts the next run. A file that no stored descriptor refers to is gone. Whose bundle it was matters no more, nor
 * how many there are of a run, as the next master starts one handler. */
#if defined(REVERT_DUPLICATES) || defined(PROBE)
#define TWICE(i) bundles[i] & own_bundles[i]
#else
#define TWICE(i) 0
#endif
inline begin_run() {
        for (i : 1 .. RUNS - 1) {
                if
                :: !ledger_stored[i] -> ledger[i] = 0
                :: else
                fi;
                held = TWICE(i);
                bundles[i] = bundles[i] | own_bundles[i];
                own_bundles[i] = held
        }
        for (i : 1 .. RUNS - 1) {
                for (held : 0 .. CONNECTIONS - 1) {
                        if
                        :: !HAS(bundles[i] | own_bundles[i], held) ->
                                unsent[i].byte_of[held] = 0;
                                DROP(unsent[i].taken, held)
                        :: else
                        fi
                }
        }
        renumber();
        noted = 0;
        master_does = beginning;
        manager_does = watching;
        TIDY
}

active proctype manager() {
end:    do
        :: d_step { asked == the_ledger && EVENT(TAKES_LEDGER, 0) -> obey() }
        :: d_step { asked == the_bundle && EVENT(TAKES_BUNDLE, 0) -> obey() }
        :: d_step { asked == the_bundles && EVENT(REMOVES_BUNDLES, 0) -> obey() }
        :: d_step { asked == the_ledgers && EVENT(REMOVES_LEDGERS, 0) -> obey() }
        :: d_step { asked != nothing && !MASTER_LIVES ->
                REACHED(IGNORED, true);
                asked = nothing;
                collected = 0;
                check_holders()
           }
        :: d_step { manager_does == watching && MASTER_LIVES && accepted != 0 && restarts > 0 ->
                restarts--;
                REACHED(SECOND_RESTART, master_does == starting && restarts == 0);
                terminated = true;
                manager_does = asking
           }
        :: d_step { manager_does == asking ->
                tell_all();
                manager_does = waiting
           }
        :: d_step { !MASTER_LIVES && manager_does != finishing ->
                tell_all();
                manager_does = finishing
           }
        :: d_step { manager_does == finishing && NONE_ALIVE && asked == nothing && own == 0 &&
                    removing_own == 0 && EVENT(BEGINS_RUN, 0) ->
                begin_run()
           }
        od
}

/* Looks at the books when no step is left and all that may happen has happened. */
active proctype audit() {
        timeout;
        d_step {
                PROPERTY(stop_ends, manager_does == watching && master_does == up);
                for (i : 0 .. CONNECTIONS - 1) {
                        PROPERTY(accounts, HAS(logged, i) != ALIVE(i));
                        PROPERTY(in_order, HAS(logged, i) || written[i] == sent[i])
                }
                for (i : 1 .. RUNS - 1) {
                held = held | bundles[i] | own_bundles[i]
        };
                PROPERTY(closed, (held & logged) == 0)
        }
}
