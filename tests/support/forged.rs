//! Steps whose files claim what is not so: work of another host, another boot, another process.
//!
//! A real run writes the record first, and only what the case needs is changed.

use super::Place;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

impl Place {
    /// A step `s` whose `.pid`, of this age, and `.meta` speak of this process, as far as `change` lets them; it holds
    /// no lock.
    pub fn forge(&self, pid: i32, age: Duration, change: impl FnOnce(&mut Value)) {
        assert_eq!(self.dogwatch(["run", "s", "--no-breaker", "--", "true"]).code, 0);
        for record in ["s.status", "s.result", "s.lock"] {
            std::fs::remove_file(self.file(record)).expect("removed");
        }
        self.write("s.pid", &format!("{pid}\n"));
        self.age("s.pid", age);
        let stamp = self.file("s.pid").metadata().expect("metadata");
        let mut meta = self.meta("s");
        for over in ["reason", "ended_at", "exit_code", "detail", "intent"] {
            meta[over] = Value::Null;
        }
        meta["pid"] = json!(pid);
        meta["pid_mtime_ns"] = json!(stamp.mtime() * 1_000_000_000 + stamp.mtime_nsec());
        meta["locked"] = json!(false);
        change(&mut meta);
        self.write("s.meta", &meta.to_string());
    }
}
