//! Measures dogwatch against the floor that the kernel sets, and against what people use instead: `scripts/bench` builds
//! it, says what it needs, and calls it.
//!
//! Every figure is taken from outside, of whole processes: a clock read right before the act, and again when the process
//! that waited has been reaped. Contenders take turns in one run, so that a slow minute of the machine hits all alike.
//! If something could not be measured there is no verdict on it, and every process that was started is ended.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "what is measured is Linux's"))]
#![allow(clippy::cast_precision_loss, reason = "no count or duration here comes near 2^52")]

#[cfg(target_os = "linux")]
mod end;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod latency;
#[cfg(target_os = "linux")]
mod procfs;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod scale;
#[cfg(target_os = "linux")]
mod setup;
#[cfg(target_os = "linux")]
mod timers;
#[cfg(target_os = "linux")]
mod whole;

/// A part of the measuring.
#[cfg(target_os = "linux")]
type Section = (&'static str, fn(&setup::Setup, &mut report::Report) -> setup::Done);

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use report::Report;
    use setup::Setup;

    let setup = Setup::read(std::env::args().skip(1))?;
    let mut report = Report::new(&setup);
    let sections: [Section; 6] = [
        ("latency", latency::measure),
        ("end", end::measure),
        ("whole", whole::measure),
        ("idle", idle::measure),
        ("scale", scale::measure),
        ("timers", |setup, report| {
            timers::measure(setup, report);
            Ok(())
        }),
    ];
    for (name, section) in sections {
        if setup.wants(name) {
            eprintln!("... {name}");
            section(&setup, &mut report)?;
        }
    }
    report.finish(&setup)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: the floor is inotify's, and what is read of processes is Linux's");
}
