/* Where a Redis Cluster keeps the era and the lease: the orders of reading and writing them, checked in discrete time.

   A check must be one script, and a script sees the keys of one slot. So the users are spread over tags, each tag has a copy of the
   state, which is the era and the lease, and there is one state of all from which a missing copy is made. This model searches
   every interleaving of a few requests and commands for one that breaks a promise. lease.pml has the rules that hold within one
   database; what a worker remembers, how it trusts and how it waits is the same here.

   What is modelled: copies that are written one after the other; a command that begins a new era, which may stop anywhere and be
   repeated, or runs twice at once; sign-ins, with a ticket and without; a copy that is made when it is first needed; a slot that is
   moved to another node, key by key, so that a script sees only one node; a revocation; two commands that change the lease, which
   may stop anywhere and are not repeated; two workers. The sessions are A, B and C. C begins in a sign-in.

   Time: as in lease.pml. A script is atomic, and any number of ticks may pass between two of them.

   What is not modelled: failover, expiry, several users of one tag, and the pointer that leads from a session to its user.

   Properties, by the name in the assertion that fails:
     p1_excluded   P1, P3: a check that begins after a revocation, or the command, has answered accepts no session that was ended by it,
                   nor one whose sign-in began before the command
     p6_refused    P6, P10: a check that begins after a client saw that a session is not live does not accept it
     p10_answered  P10: a check that begins after a sign-in has answered does not refuse its session, unless it was revoked
     is_ended      a check that reads "ended", which its worker may remember, reads it of no live session

   Run:  spin -a -DSCENARIO=EVERYBODY redis_state.pml && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
   Each #ifdef below, apart from the sizes, ONE_WORKER and ALL_FIRST, removes one rule: redis_cases.py has the story of each. */

#define REVOKE 1           /* a session is revoked while the lease is changed */
#define REVOKE_MOVED 2     /* the same, while the slot is moved */
#define EVERYBODY 3        /* the command ends the sessions of two tags while the lease is changed */
#define LOGIN_MOVED 4      /* a sign-in and the command, while the slot is moved */
#define LOGIN_FIRST 5      /* a sign-in of the first user of a tag, which has no copy yet, and the command */
#define LOGIN_TWICE 6      /* a sign-in and two commands at once */

#ifndef SCENARIO
#define SCENARIO EVERYBODY
#endif
#ifndef CHECKS
#define CHECKS 1           /* checks at the same time */
#endif
#ifndef LONGEST
#define LONGEST 0          /* the longest lease, in ticks; the shortest is none */
#endif
#ifndef HOUR
#define HOUR LONGEST       /* ticks for which a lowered lease is still waited for; in Redis it is an hour */
#endif
#ifndef CHANGERS
#define CHANGERS 1         /* commands that change the lease at the same time */
#endif
#ifndef CHANGES
#define CHANGES 2          /* changes in all */
#endif
/* -DONE_WORKER: all checks are in worker 0. -DALL_FIRST: the command writes the state of all before the copies, not after. */
#ifndef CRASHES
#define CRASHES 1          /* times that a command begins an era and stops */
#endif

#define LOGIN (SCENARIO >= LOGIN_MOVED)
#define MOVED (SCENARIO == REVOKE_MOVED || SCENARIO == LOGIN_MOVED)
#define COMMANDS (SCENARIO == LOGIN_TWICE -> 2 : 1)

#define A 0
#define B 1
#define C 2
#define SESSIONS 3
#if SCENARIO == EVERYBODY
#define TAGS 2
#else
#define TAGS 1
#endif
#define tag_of(s) (TAGS == 2 && (s) == B)
#define at(w,s) ((w)*SESSIONS+(s))
#define PROCESSES (CHECKS+2)

/* The keys of the users. */
bit row[SESSIONS], ended[SESSIONS];
byte born[SESSIONS];               /* the era of its sign-in */

/* The state of all, and its copies. Era 0 is that of a new installation. */
byte era_of_all, era[TAGS];
bit present[TAGS];
#if LONGEST > 0
byte lease, longest, hour;         /* the lease; the largest of the last hour; ticks for which they differ */
bit pending;                       /* it was lowered, and its hour has not begun */
byte serial, completed;
byte tag_lease[TAGS], tag_longest[TAGS], tag_hour[TAGS], tag_serial[TAGS];
#endif

byte eras;                         /* eras that were begun */
byte raises[TAGS];                 /* times that a new era was written to a copy: the time of the last one is in the copy */
byte changes;

/* A slot that is moved: which of its keys are in the new node. */
bit user_moved, copy_moved;

/* What a worker remembers of a session. */
byte trust[2*SESSIONS];            /* ticks for which it may still accept it without a question */
bit known[2*SESSIONS];             /* it has read that it is ended */
byte not_before[2*SESSIONS];       /* ticks until it may say so */

/* Timers of the processes. */
byte age[PROCESSES];               /* ticks since the question began */
byte wait[PROCESSES];              /* ticks until the answer may be given */

/* What clients have seen by now, and what they had seen when a check began. */
bit excluded[SESSIONS], refused[SESSIONS], answered[SESSIONS];
bit p1_excluded[CHECKS], p6_refused[CHECKS];
bit begun[SESSIONS];               /* its sign-in has begun */
bit swept[SESSIONS];               /* its era has passed */

#define younger(x) x = (x > 0 -> x - 1 : 0)
#define older(x, most) x = (x < most -> x + 1 : x)
#define at_least(x, n) x = (x > (n) -> x : (n))
#define left(n, ticks) ((n) > (ticks) -> (n) - (ticks) : 0)

inline accept(p) { assert(!p1_excluded[p]); assert(!p6_refused[p]) }
/* The wait counts from here on; how long it is, a script says that runs now or later. */
inline from_now(p) { wait[p] = LONGEST }
inline wait_for(p, n) { wait[p] = left(wait[p], LONGEST - (n)) }

/* A script declares the key of a user, and sees the copy only if that is in the same node. It cannot tell why it sees none. */
#define sees(t) (present[t] && (!MOVED || user_moved == copy_moved))

#if LONGEST > 0
active proctype Clock() {
  byte i;
  do
  :: d_step {
       i = 0; do :: i < 2*SESSIONS -> younger(trust[i]); younger(not_before[i]); i++ :: else -> break od;
       i = 0; do :: i < PROCESSES -> older(age[i], LONGEST); younger(wait[i]); i++ :: else -> break od;
       if :: hour > 0 && !pending -> hour--; if :: hour == 0 -> longest = lease :: else fi :: else fi;
       i = 0; do :: i < TAGS -> if :: tag_hour[i] > 0 -> tag_hour[i]--; if :: tag_hour[i] == 0 -> tag_longest[i] = tag_lease[i] :: else fi :: else fi;
                    i++ :: else -> break od;
       i = 0; printf("TR tick\n") }
  od }

/* Sets the lease. A change that is not done is completed by the next one, whatever that sets. */
proctype Change() {
  byte n, mine, i;
  do
  :: atomic { changes < CHANGES -> changes++; if :: n = 0 :: n = LONGEST fi;
       if
       :: n > lease -> serial++; lease = n;
#ifndef RAISED_LAST
            at_least(longest, n)
#endif
       :: n < lease -> serial++; lease = n;
#ifdef HOUR_BEGINS_AT_ONCE
            hour = HOUR
#else
            pending = 1; hour = HOUR
#endif
       :: else
       fi;
       mine = serial; printf("TR change %d of the lease begins: %d\n", mine, n);
       if :: serial == completed -> i = TAGS + 1 :: else -> i = 0 fi };
     do
     :: atomic { i < TAGS ->
#ifndef NO_SERIAL
          if
          :: mine > tag_serial[i] ->
#endif
               if :: n < tag_lease[i] -> tag_hour[i] = HOUR :: else -> at_least(tag_longest[i], n) fi;
               tag_lease[i] = n; tag_serial[i] = mine; printf("TR change %d is written to tag %d\n", mine, i)
#ifndef NO_SERIAL
          :: else
          fi
#endif
          ; i++ }
     :: atomic { i == TAGS ->
#ifdef RAISED_LAST
          at_least(longest, lease);
#endif
#ifdef DONE_BY_AN_OLDER_CHANGE
          pending = 0;
#else
          if :: mine == serial -> pending = 0 :: else fi;
#endif
          at_least(completed, mine); printf("TR change %d is done\n", mine); break }
     :: atomic { i < TAGS -> printf("TR change %d stops\n", mine); break }
     :: i > TAGS -> break
     od;
     atomic { i = 0; n = 0; mine = 0 }
  od }
#endif

/* The copy of a tag, by a script that declares its key. One that is missing is made from the state of all. */
inline read_copy(t, its_era, its_raises) {
  if
  :: atomic { present[t] -> its_era = era[t]; its_raises = raises[t]; printf("TR the copy is read: era %d\n", its_era) }
  :: atomic { !present[t] -> its_era = era_of_all; printf("TR there is no copy; the era of all is %d\n", its_era) };
     atomic {
#ifndef MADE_OVER
       if
       :: !present[t] ->
#endif
            present[t] = 1; era[t] = its_era; printf("TR the copy is made: era %d\n", its_era)
#ifndef MADE_WITHOUT_A_TIME
            ; if :: its_era > 0 -> raises[t]++ :: else fi
#endif
#ifndef MADE_OVER
       :: else
       fi
#endif
       ; its_era = era[t]; its_raises = raises[t] }
  fi }

proctype Check(byte p) {
  byte s, number, was_longest, e, x; bit w, seen, is_live, is_ended, p10_answered;
  do
  :: atomic {
#if LONGEST > 0 && !defined(ONE_WORKER)
       if :: w = 0 :: w = 1 fi;
#endif
       if
#if SCENARIO == EVERYBODY
       :: s = A
#endif
#if LOGIN
       :: s = C
#else
       :: s = B
#endif
       fi;
       p1_excluded[p] = excluded[s]; p6_refused[p] = refused[s]; p10_answered = answered[s];
       printf("TR check %d begins in worker %d: session %c\n", p, w, 'A' + s);
       if
       :: known[at(w,s)] -> wait[p] = not_before[at(w,s)]; goto ended_answer
       :: known[at(w,s)] -> known[at(w,s)] = 0; not_before[at(w,s)] = 0       /* evicted */
       :: !known[at(w,s)] && trust[at(w,s)] > 0 -> printf("TR check %d ACCEPTS from the lease\n", p); accept(p); goto done
       :: !known[at(w,s)] -> trust[at(w,s)] = 0                               /* evicted, or there was none */
       fi;
       age[p] = 0 };

     atomic {                                            /* the script reads the session and the copy */
       if
       :: sees(tag_of(s)) -> e = era[tag_of(s)];
#if LONGEST > 0
            number = tag_lease[tag_of(s)]; was_longest = tag_longest[tag_of(s)]
#endif
#ifdef NO_COPY_IS_ERA_0
       :: !present[tag_of(s)] || (user_moved && !copy_moved) -> e = 0
#endif
       :: else -> goto apart
       fi;
       is_live = row[s] && !ended[s] && born[s] == e; is_ended = row[s] && !is_live; from_now(p); wait_for(p, was_longest);
       printf("TR check %d reads: live=%d\n", p, is_live); goto read };

     apart:                                              /* the copy by its own key, then the session by a script that is given the era */
#if LONGEST > 0
     atomic { e = era[tag_of(s)]; number = tag_lease[tag_of(s)]; was_longest = tag_longest[tag_of(s)] };  /* no copy is missing here */
#else
     read_copy(tag_of(s), e, x);
#endif
     atomic {
       is_live = row[s] && !ended[s] && born[s] == e; is_ended = row[s] && !is_live; from_now(p);
       printf("TR check %d reads by era %d: live=%d\n", p, e, is_live);
#ifndef ONE_LOOK_AT_THE_COPY
       if :: row[s] && born[s] != e && !seen -> seen = 1; goto apart :: else fi;
#endif
#ifdef WAIT_READ_BEFORE
       wait_for(p, was_longest)
#endif
     };
#if !defined(WAIT_READ_BEFORE) && LONGEST > 0
     atomic { if :: is_ended -> wait_for(p, tag_longest[tag_of(s)]) :: else fi };
#endif

     read: atomic {                                      /* the answer has arrived */
       if
       :: is_live ->
            if :: !known[at(w,s)] -> at_least(trust[at(w,s)], left(number, age[p])) :: else fi;
            printf("TR check %d ACCEPTS\n", p); accept(p); goto done
       :: !is_live && !is_ended -> printf("TR check %d: unknown\n", p); assert(!p10_answered); goto done
       :: else ->
            is_ended = ended[s] || swept[s]; assert(is_ended);
            if :: known[at(w,s)] -> wait[p] = (not_before[at(w,s)] < wait[p] -> not_before[at(w,s)] : wait[p]) :: else fi;
            if :: known[at(w,s)] = 1; not_before[at(w,s)] = wait[p] :: skip fi
       fi };

     ended_answer: atomic { wait[p] == 0 -> printf("TR check %d REFUSES session %c\n", p, 'A' + s);
       assert(!p10_answered || ended[s] || swept[s]); refused[s] = 1; goto done };
     done: atomic { s = 0; w = 0; number = 0; was_longest = 0; e = 0; x = 0; seen = 0; is_live = 0; is_ended = 0; p10_answered = 0;
       p1_excluded[p] = 0; p6_refused[p] = 0; age[p] = LONGEST; wait[p] = 0 }
  od }

#if SCENARIO == REVOKE || SCENARIO == REVOKE_MOVED
proctype Revoke(byte p) {
  atomic { ended[B] = 1; from_now(p); printf("TR the revocation of B is written\n") };
  wait_for(p, longest);
  atomic { wait[p] == 0 -> excluded[B] = 1; printf("TR the revocation answers 200\n") }
}
#else
/* Ends all sessions of all users. Each attempt begins an era of its own. */
proctype Everybody(byte p) {
  byte mine, i, j, crashes, number; bit of_before[SESSIONS];
again:
  atomic { eras++; mine = eras; i = 0; do :: i < SESSIONS -> of_before[i] = begun[i]; i++ :: else -> break od; i = 0;
#ifdef WAIT_READ_BEFORE_THE_COPIES
    number = longest;
#endif
    printf("TR the command begins era %d\n", mine) };
#ifdef ALL_FIRST
  era_of_all = mine;
#endif
  do
  :: atomic { i < TAGS ->
#ifdef ONLY_COPIES_THAT_EXIST
       if
       :: present[i] ->
#endif
            present[i] = 1; era[i] = mine; raises[i]++; from_now(p); printf("TR era %d is written to tag %d\n", mine, i);
            j = 0; do :: j < SESSIONS -> if :: row[j] && tag_of(j) == i -> swept[j] = 1 :: else fi; j++ :: else -> break od; j = 0
#ifdef ONLY_COPIES_THAT_EXIST
       :: else
       fi
#endif
       ; i++ }
  :: atomic { i <= TAGS && crashes < CRASHES -> crashes++; wait[p] = 0; printf("TR the command stops, and is repeated\n"); goto again }
  :: i == TAGS -> break
  od;
#ifndef ALL_FIRST
  era_of_all = mine;
#endif
#if defined(WAIT_READ_BEFORE_THE_COPIES)
  wait_for(p, number);
#elif LONGEST > 0
  wait_for(p, longest);
#endif
  atomic { wait[p] == 0 -> i = 0; do :: i < SESSIONS -> excluded[i] = excluded[i] || of_before[i]; i++ :: else -> break od; i = 0;
    printf("TR the command of era %d returns\n", mine) }
}
#endif

#if LOGIN
/* Reads first in which era it is and whether everybody was signed out since the request began; then a script compares, and makes C. */
proctype Login() {
  byte first, e, raised, was; bit ticket, p10_answered;
  if
  :: atomic { begun[C] = 1; was = raises[0]; printf("TR a sign-in as C begins\n") }
  :: ticket = 1                                          /* which is read before the password is looked at */
  fi;
  if
  :: atomic { sees(0) -> first = era[0]; raised = raises[0]; printf("TR the sign-in reads era %d\n", first) }
  :: atomic { !sees(0) -> skip }; read_copy(0, first, raised)
  fi;
  if
  :: atomic { ticket -> begun[C] = 1; was = raised; printf("TR the sign-in has its ticket, and begins\n") }
#ifndef TIME_OF_THE_ERA_IGNORED
  :: !ticket && raised != was -> goto fin                /* P3 (a) */
  :: !ticket && raised == was
#else
  :: !ticket
#endif
  fi;
  if
  :: atomic { sees(0) -> e = era[0]; goto mint }
  :: atomic { !sees(0) -> skip }; read_copy(0, e, raised)
  fi;
  mint: atomic {
#ifndef ERA_NOT_COMPARED
    if :: e != first -> printf("TR the sign-in is refused\n"); goto fin :: else fi;
#endif
    row[C] = 1; born[C] = e; swept[C] = (era[0] != e); printf("TR C is made, of era %d\n", e);
    p10_answered = (!swept[C] || raises[0] != was); assert(p10_answered) };  /* it is made ended only if everybody is signed out meanwhile */
  atomic { answered[C] = 1; printf("TR the sign-in answers\n") };
fin: skip
}
#endif

#if MOVED
active proctype Move() {
  do
  :: atomic { !user_moved -> user_moved = 1; printf("TR the key of the user moves\n") }
  :: atomic { !copy_moved -> copy_moved = 1; printf("TR the copy of the tag moves\n") }
  :: user_moved && copy_moved -> break
  od }
#endif

init {
  byte i;
  atomic {
    i = 0; do :: i < PROCESSES -> age[i] = LONGEST; i++ :: else -> break od;
    i = 0; do :: i < TAGS -> present[i] = (SCENARIO != LOGIN_FIRST); i++ :: else -> break od;
#if !LOGIN
    row[A] = 1; begun[A] = 1; row[B] = 1; begun[B] = 1;
#endif
    i = 0; do :: i < CHECKS -> run Check(i); i++ :: else -> break od; i = 0;
#if LONGEST > 0
    i = 0; do :: i < CHANGERS -> run Change(); i++ :: else -> break od; i = 0;
#endif
#if SCENARIO == REVOKE || SCENARIO == REVOKE_MOVED
    run Revoke(CHECKS)
#else
    i = 0; do :: i < COMMANDS -> run Everybody(CHECKS+i); i++ :: else -> break od; i = 0;
#endif
#if LOGIN
    run Login()
#endif
  }
}
