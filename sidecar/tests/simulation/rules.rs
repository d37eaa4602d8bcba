//! Each rule is broken on purpose, and the simulation must notice.
