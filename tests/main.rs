//! What the program does, asked of the real binary: one program of tests, with a module a theme.
//!
//! One program is built and linked once, and no theme waits for the slowest test of another. One theme alone:
//! `cargo test --test program -- waiting::`. What counts its own process's descriptors or threads is a program of its own:
//! `library.rs` and `soak.rs`.

#[path = "support/scribble.rs"]
mod scribble;
#[path = "support/sources.rs"]
mod sources;
mod support;
#[path = "support/tree.rs"]
mod tree;

mod agent_day;
mod agent_story;
mod architecture;
mod bad_input;
mod blocked_streams;
mod breakers;
mod choosing;
mod cleaning;
mod completing;
mod counted_once;
mod directory;
mod distribution;
mod documents;
mod ending;
mod ending_trees;
mod events;
mod evidence;
mod exit_codes;
mod following;
mod full_disk;
mod held_directory;
mod history;
mod hooks;
mod identity;
mod interrupted;
mod kept_logs;
mod kept_results;
mod kill_command;
mod leaving;
mod left_behind;
mod library_options;
mod limits_and_actions;
mod listing;
mod liveness;
mod logs;
mod lost_events;
mod manual;
mod markers;
mod moved_while_waiting;
mod network_filesystems;
mod one_call;
mod out_of_sight;
mod own_wrapper;
mod preflight;
mod preflight_files;
mod preflight_scripts;
mod preflight_venv;
mod readme;
mod recovery;
mod refusals;
mod repository;
mod running;
mod sandbox;
mod schema;
mod screens;
mod scribbled;
mod security;
mod shell_wrappers;
mod spared;
mod stolen_files;
mod sudden_death;
mod terminal;
mod torn_writes;
mod trees;
mod usage_errors;
mod waiting;
