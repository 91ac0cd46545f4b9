//! The harnesses by name, with texts from which others are made, and the property tests that try each one.

/// Takes any bytes, and panics where something does not hold of them.
pub type Harness = fn(&[u8]);

/// Every harness by its name, with texts from which others are made.
pub const HARNESSES: [(&str, Harness, &[&[u8]]); 14] = [
    ("status", super::status, &[b"SUCCESS\n", b"failed\r\n", b" FAILED ", b"SUCC", b"DONE", b"\0SUCCESS"]),
    ("result", super::result, &[b"{\"a\":[1,2.50,\"\\u00e9\\n\"]}\n", b"null", b" [1e400, -0]", b"{\"a\":"]),
    ("meta", super::meta, &[META, b"{\"schema\":2}", b"{\"schema\":1,\"run_id\":\"a\",\"x\":1.5e300}"]),
    ("breaker", super::breaker, &[BREAKER, b"{\"schema\":9}"]),
    ("pid", super::pid, &[b"4242\n", b" 7 ", b"", b"-1\n", b"99999999999\n", b"12 34"]),
    ("heartbeat", super::looks, &[b"\x04\x03\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05\x05", &[3; 90], &[4; 90]]),
    (
        "proc",
        super::proc_files,
        &[
            STAT,
            b"4 () S 17 0 2 3 02 3 :  8 ` 1 2 3 2 3 :2 03  8  `",
            b"Name:\tx\nUid:\t1000\t0\nNSpid:\t300\t20\n",
            b"0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffd00000000 0x7f",
        ],
    ),
    (
        "mounts",
        super::proc_files,
        &[b"41 31 0:38 / /a\\040b rw shared:9 - nfs4 host:/x rw\n4:memory:/w\n0::/u\noom_kill 3\n"],
    ),
    ("preflight", super::config, &[PREFLIGHT, b"[[check]]\nname = 1\n", b"[[check", b"check = \"\"\"\n"]),
    ("names", super::names, &[b"build", b"a.b@c+d=e:f-g", b".hidden", b"a.status", b".a.pid.7-7.tmp", b"../x"]),
    ("marker", super::marker, &[b"\x05ready|done\nFATAL x\nready\n", b"\x03^a*b\nab\n", b"\x02[a-z\n"]),
    ("shebang", super::shebang, &[SHEBANG, b"#!/usr/bin/env python3\n", b"home = /usr\nversion = 3.11.2\nuv = 1\n"]),
    ("text", super::text, &[b"\x05a\x1b[2Jb\r\n\xc3\xa9\n", b"\x02\xe2\x80\xae\0\0line\n", b"python3\0-c\0x\n\0"]),
    ("quantity", super::quantities, &[b"1m 30s", b"500ms", b"0.5", b"1GiB", b"5 GB", b"18446744073709551615s"]),
];

const META: &[u8] =
    br#"{"schema":1,"run_id":"r","pid":42,"pid_mtime_ns":7,"locked":true,"started_awake_ms":5,"command":["a"],
"reason":"hung","intent":"timeout","evidence":[{"pid":4,"ppid":1,"command":"x","state":"sleeping","cpu_ms":3}],
"started_at":"2026-01-01T00:00:00Z","ended_at":"2026-01-01T00:00:01Z"}"#;
const BREAKER: &[u8] =
    br#"{"schema":1,"name":"b","consecutive_failures":2,"max_consecutive":3,"runs":[{"run":"r","reason":"died","at":"x"}]}"#;
const STAT: &[u8] =
    b"4242 (a) b (c) S 17 4242 4200 0 -1 4194560 96 0 0 0 3 1 0 0 20 0 1 0 987654 2703360 229 1 1 5 7028";
const PREFLIGHT: &[u8] =
    b"[[check]]\nname = \"x\"\nkind = \"disk\"\npath = \"/\"\nmin_free = \"5GB\"\ntimeout = \"3s\"\nfix = \"true\"\n";
const SHEBANG: &[u8] =
    b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n";

/// Runs the harness of this name.
///
/// # Panics
/// Where there is none, or where something does not hold.
pub fn harness(name: &str, bytes: &[u8]) {
    let found = HARNESSES.iter().find(|(known, ..)| *known == name);
    let (_, harness, _) = found.unwrap_or_else(|| panic!("no harness has the name {name}"));
    harness(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A text of the harness's own, changed in places: a byte flipped, a piece cut out, doubled, or put elsewhere.
    fn changed(texts: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
        let change = (any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
        (prop::sample::select(texts), prop::collection::vec(change, 0..6)).prop_map(|(text, changes)| {
            let mut bytes = text.to_vec();
            for (kind, one, other, byte) in changes {
                let (one, other) = (one.index(bytes.len() + 1), other.index(bytes.len() + 1));
                let (from, to) = (one.min(other), one.max(other));
                match kind % 4 {
                    0 => bytes.insert(from, byte),
                    1 => drop(bytes.drain(from..to)),
                    2 => bytes.extend_from_within(from..to),
                    _ => bytes[from..to].iter_mut().take(1).for_each(|at| *at ^= byte),
                }
            }
            bytes
        })
    }

    fn holds(name: &str) {
        let (_, harness, texts) = HARNESSES.iter().find(|(known, ..)| *known == name).unwrap();
        texts.iter().for_each(|text| harness(text));
        let any_bytes = prop::collection::vec(any::<u8>(), 0..300);
        proptest!(ProptestConfig::with_cases(1000), |(bytes in any_bytes, near in changed(texts))| {
            harness(&bytes);
            harness(&near);
        });
    }

    macro_rules! each_harness_holds {
        ($($name:ident),*) => {
            $(#[test]
            fn $name() {
                holds(stringify!($name));
            })*

            #[test]
            fn every_harness_is_tried_here_and_is_a_fuzz_target() {
                let tried = [$(stringify!($name)),*];
                // A packaged crate comes without the fuzz targets, which are a package of their own.
                let packaged = std::fs::exists("Cargo.toml.orig").unwrap();
                let manifest = std::fs::read_to_string("tests/fuzz/Cargo.toml");
                let manifest = manifest.map_err(|error| assert!(packaged, "{error}")).unwrap_or_default();
                for (name, ..) in HARNESSES {
                    assert!(tried.contains(&name), "{name} is not tried");
                    assert!(packaged || manifest.contains(&format!("name = \"{name}\"")), "{name} is no target");
                }
            }
        };
    }

    each_harness_holds!(
        status, result, meta, breaker, pid, heartbeat, proc, mounts, preflight, names, marker, shebang, text, quantity
    );
}
