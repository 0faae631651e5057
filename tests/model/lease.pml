/* How long a worker may trust an answer, and how long a refusal must wait: the leases, checked in discrete time.

   A worker that asks the database about a session may trust a positive answer for one lease, counted from the moment
   when it BEGAN to ask, and ask nothing meanwhile. In return each answer that shows that a session is not live any more
   is given only after the longest lease that a worker can still trust. This model searches every interleaving of one
   user's requests for one that breaks a promise.

   What is modelled: one database with a lock for each user; two workers with what they remember; checks without end,
   in either worker; calls that revoke the other sessions, a login that replaces a session, a login that is refused, and
   a logout, each of which may lose its connection between commit and answer and be repeated; purging; checks that join
   a question; a proxy that caches answers; a lease that is changed while workers run. The sessions are A, B and C.

   Time: a tick of the clock ages every timer by one. Between two steps of a process any number of ticks may pass, so
   each process may be stopped anywhere, and a commit may take any time. Trust ends, and a wait ends, after whole ticks:
   the factors 0.9 and 1.1, which are for clocks of different speed, are not here.

   A lease that is changed is a number in the database. A question reads it in the statement that reads the session, and
   a positive answer is trusted for the number that came with it. A refusing check waits for the largest number of the last
   hour, read in that same statement. What ends a session, or finds under the lock that it is ended, reads the largest
   number in a statement of its own after the commit, or after the lock. A login reads in its transaction for how long its
   worker may trust the new session, and after the commit for how long its answer waits.

   What is not modelled: failover and replicas (each read sees all that was committed before it, and the statements of
   all processes see commits in the same order), expiry, several users, and `list`, which is not part of this order.

   Properties, by the name in the assertion that fails:
     p1_excluded   P1: a check that begins after an operation has answered accepts none of the sessions that it ended
     p6_refused    P6, P10: a check that begins after a client saw that a session is not live does not accept that session;
                   in THREE_SESSIONS, P4: nor the other session that the same call revokes
     p10_answered  P10: a check that begins after a login has answered knows its session
     successes     P2: of two calls at once exactly one succeeds, and its session alone is live

   Run:  spin -a -DSCENARIO=ONE_CALL lease.pml && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
   Add -DBFS to gcc for the shortest trace; `spin -t` with the same -D options prints it. Each #ifdef below, apart from
   the sizes, JOIN, CHANGES and ONE_WORKER, removes one rule: cases.py has the story of each. */

#define ONE_CALL 1         /* A revokes the others */
#define TWO_CALLS 2        /* A and B do so at the same time */
#define LOGIN_REPLACES 3   /* a login replaces A by C while B revokes the others */
#define LOGIN_OVERTAKEN 4  /* a login checks its password, then A revokes the others */
#define LOGIN_ALONE 5      /* a login replaces A by C */
#define LOGOUT 6           /* B logs out */
#define THREE_SESSIONS 7   /* A revokes B and C in one commit */
#define PROXY 8            /* a proxy that caches asks worker 0, while A revokes B in worker 1 */

#ifndef SCENARIO
#define SCENARIO ONE_CALL
#endif
#ifndef LEASE
#define LEASE 1            /* ticks */
#endif
#ifndef CHECKS
#define CHECKS 2           /* checks at the same time */
#endif
#ifndef CRASHES
#define CRASHES 1          /* lost connections of each call */
#endif
/* -DJOIN: a check joins a question that another check of its worker has asked.
   -DONE_WORKER: all checks are in worker 0.
   -DCHANGES: the lease is raised and lowered, between LEASE and LONGEST. LEASE=0 is a lease that is switched on and off. */
#ifdef CHANGES
#ifndef LONGEST
#define LONGEST (LEASE+1)
#endif
#ifndef HOUR
#define HOUR LONGEST       /* ticks for which a lowered lease is still waited for; in the database it is an hour */
#endif
#else
#define LONGEST LEASE
#endif

/* Ages of rows count only where a rule that needs them is tried. */
#ifdef ENDED_BY_AGE
#define AGES (LONGEST+1)   /* a row that was ended so many ticks ago is refused at once */
#endif
#ifdef PURGE_AFTER
#define AGES PURGE_AFTER
#endif
#ifndef COMMIT_WITHIN
#define COMMIT_WITHIN 255  /* ticks from writing `ended_at` to the moment when other statements see it; 255: no bound */
#endif

#define THIRD (SCENARIO == LOGIN_REPLACES || SCENARIO == LOGIN_OVERTAKEN || SCENARIO == LOGIN_ALONE || SCENARIO == THREE_SESSIONS)

#define A 0
#define B 1
#define C 2
#if THIRD
#define SESSIONS 3
#else
#define SESSIONS 2
#endif
#define PROCESSES (CHECKS+2)
#define at(w,s) ((w)*SESSIONS+(s))

/* The database. */
bit live[SESSIONS], row[SESSIONS];
bit ended[SESSIONS];               /* was live, and is not */
bit lock;                          /* of the user's row */
bit raised;                        /* the user's generation */
#ifdef AGES
byte row_age[SESSIONS];            /* ticks since `ended_at` was written */
bit writing;                       /* `ended_at` is written and not yet committed */
#endif
#ifdef CHANGES
byte lease = LEASE;                /* the number in the database */
byte longest = LEASE;              /* the largest that it was within the last hour */
byte hour;                         /* ticks for which `longest` is larger than `lease` */
#else
#define lease LEASE
#define longest LEASE
#endif

/* What a worker remembers of a session. */
byte trust[2*SESSIONS];            /* ticks for which it may still accept it without a question */
bit known[2*SESSIONS];             /* it has read that it is ended */
byte not_before[2*SESSIONS];       /* ticks until it may say so */
#ifdef UNKNOWN_REMEMBERED
byte unknown[2*SESSIONS];
#endif

/* Timers of the processes. */
byte age[PROCESSES];               /* ticks since the question began */
byte wait[PROCESSES];              /* ticks until the answer may be given */
#ifdef JOIN
bit asking[CHECKS], asks_in[CHECKS]; byte asks_of[CHECKS];
byte joined[CHECKS], heard[CHECKS];
#endif
#if SCENARIO == PROXY
byte pass;                         /* ticks for which the proxy may still accept B without a question */
byte offer;                        /* the same, of the answer on its way */
#if defined(STACKED_AGES) || defined(STALE_WHILE_ASKING)
byte asked;                        /* ticks since the proxy asked the worker */
bit passed;
#endif
#endif

/* What clients have seen by now, and what they had seen when a check began. */
bit excluded[SESSIONS], refused[SESSIONS], answered[SESSIONS];
bit p1_excluded[PROCESSES], p6_refused[PROCESSES];
byte successes, failures, running;

#define younger(x) x = (x > 0 -> x - 1 : 0)
#define older(x, most) x = (x < most -> x + 1 : x)
#define at_least(x, n) x = (x > (n) -> x : (n))
#define left(n, ticks) ((n) > (ticks) -> (n) - (ticks) : 0)

inline take_lock() {
#ifdef UNLOCKED
  skip
#else
  atomic { !lock -> lock = 1 }
#endif
}
inline accept(p) { assert(!p1_excluded[p]); assert(!p6_refused[p]) }
inline refuse(s) {
  refused[s] = 1;
#if SCENARIO == THREE_SESSIONS
  refused[B] = 1; refused[C] = 1     /* P4: one commit ends both */
#endif
}
/* The wait counts from here on; how long it is, a statement after the commit says. */
inline from_now(p) { wait[p] = LONGEST }
inline wait_for(p, n) { wait[p] = left(wait[p], LONGEST - (n)) }

active proctype Clock() {
  byte i;
  do
  :: d_step {
#ifdef AGES
       !writing || COMMIT_WITHIN == 255 || row_age[B] < COMMIT_WITHIN;
#endif
       i = 0; do :: i < 2*SESSIONS -> younger(trust[i]); younger(not_before[i]);
#ifdef UNKNOWN_REMEMBERED
                    younger(unknown[i]);
#endif
                    i++ :: else -> break od;
       i = 0; do :: i < PROCESSES -> older(age[i], LONGEST); younger(wait[i]); i++ :: else -> break od;
#ifdef AGES
       i = 0; do :: i < SESSIONS -> if :: !live[i] || writing -> older(row_age[i], AGES) :: else fi; i++ :: else -> break od;
#endif
#ifdef CHANGES
       if :: hour > 0 -> hour--; if :: hour == 0 -> longest = lease :: else fi :: else fi;
#endif
#if SCENARIO == PROXY
       younger(pass); younger(offer);
#if defined(STACKED_AGES) || defined(STALE_WHILE_ASKING)
       older(asked, LONGEST);
#endif
#endif
       i = 0; printf("TR tick\n") }
  od }

#ifdef PURGE_AFTER
active proctype Purge() { do :: d_step { row[B] && ended[B] && row_age[B] >= PURGE_AFTER -> row[B] = 0; printf("TR B is purged\n") } od }
#endif

#ifdef CHANGES
/* A worker whose setting is larger raises the number; an operator lowers it. A setting that is smaller needs no process:
   its worker asks earlier than it must, which a check may always do. */
active proctype Change() {
  do
  :: d_step { lease < LONGEST -> lease++; if :: lease >= longest -> longest = lease; hour = 0 :: else fi; printf("TR the lease is raised to %d\n", lease) }
  :: d_step { lease > LEASE ->
#ifdef ONE_NUMBER_BEFORE
       longest = lease;
#endif
       lease--; hour = HOUR; printf("TR the lease is lowered to %d\n", lease) }
  od }
#endif

proctype Check(byte p) {
  byte s, o, number, was_longest; bit w, is_live, has_row, was_ended, p10_answered;
  do
  :: atomic {
       if :: w = 0 :: w = 1 fi;
#ifdef ONE_WORKER
       w == 0;
#endif
       if                                                /* a session that can begin or end in this scenario */
#if SCENARIO == TWO_CALLS || SCENARIO == LOGIN_REPLACES || SCENARIO == LOGIN_ALONE
       :: s = A
#endif
#if SCENARIO != LOGIN_REPLACES && SCENARIO != LOGIN_ALONE
       :: s = B
#endif
#if THIRD
       :: s = C
#endif
       fi;
       p1_excluded[p] = excluded[s]; p6_refused[p] = refused[s]; p10_answered = answered[s];
       printf("TR check %d begins in worker %d: session %c\n", p, w, 'A' + s);
       if
       :: known[at(w,s)] ->
#ifdef REMEMBERED_AT_ONCE
            refuse(s); goto done
#else
            wait[p] = not_before[at(w,s)]; goto ended_answer
#endif
       :: known[at(w,s)] -> known[at(w,s)] = 0; not_before[at(w,s)] = 0       /* evicted */
       :: !known[at(w,s)] && trust[at(w,s)] > 0 -> printf("TR check %d ACCEPTS from the lease\n", p); accept(p); goto done
       :: !known[at(w,s)] -> trust[at(w,s)] = 0                               /* evicted, or there was none */
       fi;
#ifdef UNKNOWN_REMEMBERED
       if :: unknown[at(w,s)] > 0 -> assert(!p10_answered || ended[s]); goto done :: else fi;
#endif
#ifdef JOIN
       o = 0;
       do :: o < CHECKS && !(o != p && asking[o] && asks_of[o] == s && asks_in[o] == w
#ifndef JOINED_WITHOUT_LIMIT
              && age[o] < LEASE
#endif
             ) -> o++ :: else -> break od;
       if :: o < CHECKS -> joined[p] = o + 1; o = 0; printf("TR check %d joins a question\n", p); goto join :: else -> o = 0 fi;
       asking[p] = 1; asks_of[p] = s; asks_in[p] = w;
#endif
       age[p] = 0 };

#ifdef LEASE_READ_BEFORE
     atomic { number = lease; was_longest = longest };
#endif
     atomic {                                            /* the database reads the session and the lease in one statement */
       is_live = live[s]; has_row = row[s]; was_ended = ended[s];
#ifndef LEASE_READ_BEFORE
       number = lease; was_longest = longest;
#endif
       printf("TR check %d: the database says live=%d, lease=%d\n", p, is_live, lease);
       if
       :: !is_live && has_row ->
            from_now(p);
#ifdef CHECK_WAITS_FOR_THE_LEASE_OF_NOW
            wait_for(p, number);
#else
            wait_for(p, was_longest);
#endif
#ifdef CHECK_AT_ONCE
            wait[p] = 0;
#endif
#ifdef WAIT_FROM_QUESTION
            wait[p] = left(was_longest, age[p]);
#endif
#ifdef ENDED_BY_AGE
            if :: row_age[s] >= AGES -> wait[p] = 0 :: else fi;
#endif
       :: else
       fi };
#ifdef LEASE_READ_AFTER
     number = lease;
#endif

     atomic {                                            /* the answer has arrived */
#ifdef JOIN
       asking[p] = 0; asks_of[p] = 0; asks_in[p] = 0; o = 0;
       do :: o < CHECKS ->
               if :: joined[o] == p + 1 -> joined[o] = 0; wait[o] = wait[p];
                     if :: is_live -> accept(o); heard[o] = 1 :: else -> heard[o] = 2 fi :: else fi;
               o++ :: else -> break od;
       o = 0;
#endif
       if
       :: is_live ->
            if
            :: !known[at(w,s)] ->                        /* an answer on its way never hides what is known to be ended */
#if defined(LEASE_FROM_ANSWER)
                 trust[at(w,s)] = number
#elif defined(SETTING_TRUSTED)
                 at_least(trust[at(w,s)], left(LONGEST, age[p]))
#else
                 at_least(trust[at(w,s)], left(number, age[p]))
#endif
            :: else fi;
            printf("TR check %d ACCEPTS\n", p); accept(p); goto done
       :: !is_live && !has_row ->                        /* unknown: said at once, never remembered */
#ifdef UNKNOWN_REMEMBERED
            unknown[at(w,s)] = left(LEASE, age[p]);
#endif
            assert(!p10_answered || ended[s]);
            if :: was_ended -> printf("TR check %d: unknown\n", p); refuse(s) :: else fi; goto done
       :: else ->                                        /* ended: a worker waits from its first reading on, and may remember it */
            if :: known[at(w,s)] -> wait[p] = (not_before[at(w,s)] < wait[p] -> not_before[at(w,s)] : wait[p]) :: else fi;
            if :: known[at(w,s)] = 1; not_before[at(w,s)] = wait[p] :: skip fi
       fi };

     ended_answer: atomic { wait[p] == 0 -> printf("TR check %d REFUSES session %c\n", p, 'A' + s); refuse(s); goto done };
#ifdef JOIN
     join: atomic { heard[p] > 0 -> if :: heard[p] == 1 -> goto done :: else -> goto ended_answer fi };
#endif
     done: atomic { s = 0; w = 0; o = 0; number = 0; was_longest = 0; is_live = 0; has_row = 0; was_ended = 0; p10_answered = 0;
       p1_excluded[p] = 0; p6_refused[p] = 0; age[p] = LONGEST; wait[p] = 0;
#ifdef JOIN
       heard[p] = 0
#endif
     }
  od }

/* A revocation of the other sessions by the session `me`. */
proctype Revoke(byte p; byte me) {
  byte i, crashes, number; bit some, was_live[SESSIONS], gone[SESSIONS];
again:
#ifdef LEASE_IN_LOCKING_READ
  number = longest;                                      /* the snapshot of a statement can be older than the row that it has locked */
#endif
  take_lock();
  if
  :: atomic { !live[me] -> lock = 0; from_now(p) };      /* SessionRevoked */
     atomic {
#ifdef LEASE_IN_LOCKING_READ
       wait_for(p, number); number = 0;
#else
       wait_for(p, longest);
#endif
#ifdef REVOKED_AT_ONCE
       wait[p] = 0
#endif
     };
     atomic { wait[p] == 0 -> printf("TR the call of %c answers 401\n", 'A' + me); refuse(me); failures++; goto fin }
  :: live[me] ->                                         /* P2: read under the lock */
#ifdef LEASE_IN_LOCKING_READ
     number = 0
#else
     skip
#endif
  fi;
  d_step { i = 0; some = 0; do :: i < SESSIONS -> was_live[i] = (i != me && live[i]); some = some || was_live[i]; i++ :: else -> break od;
#ifdef AGES
    i = 0; do :: i < SESSIONS -> if :: was_live[i] -> row_age[i] = 0 :: else fi; i++ :: else -> break od; writing = some;
#endif
#ifdef LEASE_BEFORE_COMMIT
    number = longest;
#endif
    i = 0; printf("TR the call of %c writes\n", 'A' + me) };
#ifdef ONE_BY_ONE
  d_step { live[B] = 0; ended[B] = 1 };
#endif
  d_step { i = 0; do :: i < SESSIONS -> if :: was_live[i] -> live[i] = 0; ended[i] = 1 :: else fi; gone[i] = (row[i] && i != me); was_live[i] = 0; i++
                     :: else -> break od;
#ifdef AGES
    writing = 0;
#endif
    i = 0; lock = 0; raised = raised || some; from_now(p); printf("TR the call of %c COMMITS\n", 'A' + me) };
  d_step {                                               /* a statement of its own, after the commit, reads the lease */
#if defined(LEASE_BEFORE_COMMIT)
    wait_for(p, number); number = 0;
#elif defined(CALL_WAITS_FOR_THE_LEASE_OF_NOW)
    wait_for(p, lease);
#else
    wait_for(p, longest);
#endif
#ifdef SUCCESS_AT_ONCE
    if :: some -> wait[p] = 0 :: else fi;
#endif
#ifdef ZERO_AT_ONCE
    if :: !some -> wait[p] = 0 :: else fi;
#endif
    some = 0 };
  if
  :: atomic { crashes < CRASHES -> crashes++; wait[p] = 0; printf("TR the connection is lost; the call is repeated\n"); goto again }
  :: d_step { wait[p] == 0 -> i = 0; do :: i < SESSIONS -> if :: gone[i] -> excluded[i] = 1 :: else fi; i++ :: else -> break od;
       i = 0; successes++; printf("TR the call of %c answers 200\n", 'A' + me) }
  fi;
fin: atomic { running--; crashes = 0; i = 0; do :: i < SESSIONS -> gone[i] = 0; i++ :: else -> break od; i = 0 }
}

#if THIRD
/* A login in a request that carries A: C replaces A, or the login is refused (StaleLogin) if A is not live (P3 c). */
proctype LoginReplaces(byte p) {
  byte crashes, number; bit w;
again:
  atomic { if :: w = 0 :: w = 1 fi; age[p] = 0 };        /* the question begins before it waits for the lock */
  take_lock();
  if
  :: atomic { !live[A] -> lock = 0; from_now(p); wait_for(p, longest);
#ifdef STALE_LOGIN_AT_ONCE
       wait[p] = 0
#endif
     };
     atomic { wait[p] == 0 -> printf("TR the login is refused\n"); refuse(A); goto fin }
  :: live[A]
  fi;
  number = lease;                                        /* how long its worker may trust C: read in the transaction */
  d_step { live[A] = 0; ended[A] = 1; live[C] = 1; row[C] = 1; lock = 0; from_now(p); printf("TR the login replaces A by C and COMMITS\n") };
  d_step {                                               /* how long the answer waits: read after the commit */
#ifdef LOGIN_TRUSTED_BY_THE_LEASE_AFTER_IT
    number = lease;
#endif
    wait_for(p, longest);
#ifdef LOGIN_AT_ONCE
    wait[p] = 0
#endif
  };
  if
  :: atomic { crashes < CRASHES -> crashes++; wait[p] = 0; number = 0; printf("TR the connection is lost; the login is repeated\n"); goto again }
  :: skip
  fi;
  atomic {                                               /* the answer of the commit has arrived: its worker trusts C from the question on */
#ifdef LOGIN_TRUSTED_FROM_ANSWER
    trust[at(w,C)] = number;
#else
    at_least(trust[at(w,C)], left(number, age[p]));
#endif
    number = 0
  };
  atomic { wait[p] == 0 -> excluded[A] = 1; answered[C] = 1; printf("TR the login answers\n") };
fin: atomic { running--; crashes = 0; w = 0; age[p] = LONGEST }
}

/* A login that checked its password before a revocation, and is refused after it (P3 a, b). */
proctype LoginOvertaken(byte p) {
  bit before, was_ended[SESSIONS]; byte i;
  before = raised;
  take_lock();
  if
  :: d_step { raised != before -> lock = 0; i = 0; do :: i < SESSIONS -> was_ended[i] = ended[i]; i++ :: else -> break od; i = 0;
       from_now(p); wait_for(p, longest);
#ifdef STALE_LOGIN_AT_ONCE
       wait[p] = 0
#endif
     };
     d_step { wait[p] == 0 -> i = 0; do :: i < SESSIONS -> if :: was_ended[i] -> refused[i] = 1 :: else fi; was_ended[i] = 0; i++ :: else -> break od;
       i = 0; printf("TR the login is refused\n") }
  :: d_step { raised == before -> live[C] = 1; row[C] = 1; answered[C] = 1; lock = 0 }
  fi;
  d_step { running--; before = 0 }
}
#endif

#if SCENARIO == LOGOUT
proctype Logout(byte p; byte me) {
  byte crashes; bit w;
again:
  take_lock();
  if
  :: atomic { !live[me] -> lock = 0; from_now(p); wait_for(p, longest) }
  :: atomic { live[me] -> if :: w = 0 :: w = 1 fi };
     d_step { live[me] = 0; ended[me] = 1; lock = 0; from_now(p); wait_for(p, longest); printf("TR the logout COMMITS in worker %d\n", w);
       known[at(w,me)] = 1; not_before[at(w,me)] = wait[p]; trust[at(w,me)] = 0;       /* its worker accepts it no more, and refuses it later */
#ifdef LOGOUT_AT_ONCE
       wait[p] = 0
#endif
     }
  fi;
  if
  :: atomic { crashes < CRASHES -> crashes++; wait[p] = 0; printf("TR the connection is lost; the logout is repeated\n"); goto again }
  :: atomic { wait[p] == 0 -> excluded[me] = 1; printf("TR the logout answers\n") }
  fi;
  d_step { running--; crashes = 0; w = 0 }
}
#endif

#if SCENARIO == PROXY
/* A proxy that asks worker 0 about B. The answer says until when it may be trusted: one lease after the worker's question. */
proctype Proxy(byte p) {
  bit is_live; byte number;
  do
  :: atomic { p1_excluded[p] = excluded[B]; p6_refused[p] = refused[B];
       if :: pass > 0 -> printf("TR the proxy ACCEPTS from its cache\n"); accept(p); goto done :: else fi;
#if defined(STACKED_AGES) || defined(STALE_WHILE_ASKING)
       asked = 0;
#endif
       printf("TR the proxy asks\n") };
     if
     :: atomic { !known[at(0,B)] && trust[at(0,B)] > 0 -> is_live = 1; offer = trust[at(0,B)]; printf("TR the worker answers the proxy from its lease\n") }
     :: atomic { trust[at(0,B)] == 0 || known[at(0,B)] -> age[p] = 0 };
        atomic { is_live = live[B]; number = lease; printf("TR the database says live=%d to the proxy's question\n", is_live);
          if :: !is_live -> from_now(p); wait_for(p, longest) :: else fi };
        atomic { if :: is_live -> offer = left(number, age[p]);
                       if :: !known[at(0,B)] -> at_least(trust[at(0,B)], offer) :: else fi
                    :: else fi }
     fi;
#ifdef STALE_WHILE_ASKING
     if :: passed -> atomic { p1_excluded[p] = excluded[B]; p6_refused[p] = refused[B]; printf("TR the proxy ACCEPTS what is stale, while it asks\n"); accept(p); goto done } :: skip fi;
#endif
     if
     :: atomic { is_live -> accept(p); printf("TR the proxy ACCEPTS\n");
#ifdef STACKED_AGES
          pass = left(lease, asked)
#else
          pass = offer
#endif
#ifdef STALE_WHILE_ASKING
          ; passed = 1
#endif
        }
     :: atomic { !is_live && wait[p] == 0 -> refuse(B); printf("TR the proxy REFUSES\n")
#ifdef STALE_WHILE_ASKING
          ; passed = 0
#endif
        }
     fi;
     done: atomic { is_live = 0; number = 0; p1_excluded[p] = 0; p6_refused[p] = 0; age[p] = LONGEST; wait[p] = 0; offer = 0 }
  od }
#endif

init {
  byte i;
  atomic {
    i = 0; do :: i < PROCESSES -> age[i] = LONGEST; i++ :: else -> break od;
    live[A] = 1; row[A] = 1; live[B] = 1; row[B] = 1;
#if SCENARIO == THREE_SESSIONS
    live[C] = 1; row[C] = 1;
#endif
    i = 0; do :: i < CHECKS -> run Check(i); i++ :: else -> break od; i = 0;
#if SCENARIO == ONE_CALL || SCENARIO == THREE_SESSIONS
    running = 1; run Revoke(CHECKS, A)
#elif SCENARIO == TWO_CALLS
    running = 2; run Revoke(CHECKS, A); run Revoke(CHECKS+1, B)
#elif SCENARIO == LOGIN_REPLACES
    running = 2; run LoginReplaces(CHECKS); run Revoke(CHECKS+1, B)
#elif SCENARIO == LOGIN_OVERTAKEN
    running = 2; run LoginOvertaken(CHECKS); run Revoke(CHECKS+1, A)
#elif SCENARIO == LOGIN_ALONE
    running = 1; run LoginReplaces(CHECKS)
#elif SCENARIO == LOGOUT
    running = 1; run Logout(CHECKS, B)
#elif SCENARIO == PROXY
    running = 1; run Proxy(CHECKS+1); run Revoke(CHECKS, A)
#endif
  };
#if SCENARIO == TWO_CALLS
  running == 0; assert(successes == 1 && failures == 1 && live[A] != live[B])   /* P2: p2 */
#elif SCENARIO == ONE_CALL
  running == 0; assert(successes == 1 && live[A] && !live[B])
#endif
}
