"""A backup is taken, sessions are revoked, the backup is restored: after ``sessionward restored`` nobody is signed in again."""
