//! The figures: kept, held against their limits, and shown as a table, as JSON and as a plot.
//!
//! It reports medians, 99th percentiles and maxima, since an average hides what a caller waits for.

#![allow(clippy::let_underscore_must_use, clippy::let_underscore_untyped, reason = "writing to a String cannot fail")]

use super::setup::{Done, Setup};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Durations, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1e6;
        let place = self.0.partition_point(|known| *known < took);
        self.0.insert(place, took);
    }

    fn at(&self, share: f64) -> f64 {
        // The nearest rank: of 300 the 297th is the 99th percentile.
        let rank = (self.0.len() as f64 * share).ceil().max(1.0);
        let reached = |place: &usize| *place as f64 + 1.0 >= rank;
        (0..self.0.len()).find(reached).map_or(f64::NAN, |place| self.0[place])
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }

    pub(crate) fn max(&self) -> f64 {
        self.at(1.0)
    }
}

/// What a figure is held to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// No more than this.
    AtMost(f64),
    /// Less than this.
    Under(f64),
}

impl Limit {
    fn holds(self, figure: f64) -> bool {
        match self {
            Limit::AtMost(limit) => figure <= limit,
            Limit::Under(limit) => figure < limit,
        }
    }

    fn shown(self, unit: &str) -> String {
        match self {
            Limit::AtMost(limit) => format!("<= {limit} {unit}"),
            Limit::Under(limit) => format!("< {limit} {unit}"),
        }
    }
}

struct Row {
    group: &'static str,
    name: String,
    sample: Sample,
}

struct Line {
    what: String,
    figure: f64,
    unit: &'static str,
    limit: Option<Limit>,
}

/// All that a call has found.
pub(crate) struct Report {
    machine: String,
    rows: Vec<Row>,
    lines: Vec<Line>,
    remarks: Vec<String>,
}

impl Report {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut remarks = Vec::new();
        if setup.quick {
            remarks.push("a quick run, to see that everything works: its figures are of too few rounds".to_owned());
        }
        Self { machine: machine(), rows: Vec::new(), lines: Vec::new(), remarks }
    }

    /// One contender's durations.
    pub(crate) fn latency(&mut self, group: &'static str, name: &str, sample: Sample) {
        self.rows.push(Row { group, name: name.to_owned(), sample });
    }

    /// A figure that has to hold.
    pub(crate) fn held(&mut self, what: &str, figure: f64, limit: Limit, unit: &'static str) {
        self.lines.push(Line { what: what.to_owned(), figure, unit, limit: Some(limit) });
    }

    /// A figure that is only told.
    pub(crate) fn noted(&mut self, what: &str, figure: f64, unit: &'static str) {
        self.lines.push(Line { what: what.to_owned(), figure, unit, limit: None });
    }

    /// A sentence on how it was measured, or why not.
    pub(crate) fn remark(&mut self, sentence: &str) {
        self.remarks.push(sentence.to_owned());
    }

    /// Prints the table, and writes it, the JSON and the plot.
    pub(crate) fn finish(mut self, setup: &Setup) -> Done {
        let _ = write!(self.machine, "; load {}", load());
        let table = self.table();
        print!("{table}");
        std::fs::write(setup.out.join("bench.txt"), &table)?;
        std::fs::write(setup.out.join("bench.json"), format!("{:#}\n", self.json()))?;
        std::fs::write(setup.out.join("bench.svg"), self.plot())?;
        println!("\nwritten: {0}/bench.txt, {0}/bench.json, {0}/bench.svg", setup.out.display());
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        for (group, title, base) in GROUPS {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.group == group).collect();
            let Some(first) = rows.first() else { continue };
            let base = rows.iter().find(|row| row.name == base).unwrap_or(first);
            let widest = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
            let heads = ["median", "p99", "max", "median", "p99", "rounds"];
            let _ = writeln!(text, "\n{title} (ratios to: {})", base.name);
            let _ = write!(text, "{:widest$}", "");
            for head in heads {
                let _ = write!(text, " {head:>9}");
            }
            text.push('\n');
            for row in &rows {
                let sample = &row.sample;
                let (median, p99) = (sample.median() / base.sample.median(), sample.p99() / base.sample.p99());
                let _ = writeln!(
                    text,
                    "{:widest$} {:>9} {:>9} {:>9} {median:>8.2}x {p99:>8.2}x {:>9}",
                    row.name,
                    span(sample.median()),
                    span(sample.p99()),
                    span(sample.max()),
                    sample.0.len()
                );
            }
        }
        let widest = self.lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
        text.push('\n');
        for line in &self.lines {
            let limit = line.limit.map_or(String::new(), |limit| limit.shown(line.unit));
            let mark = line.limit.map_or("", |limit| if limit.holds(line.figure) { "pass" } else { "FAIL" });
            let figure = format!("{:.3} {}", line.figure, line.unit);
            let _ = writeln!(text, "{:widest$} {figure:>16}  {limit:<16} {mark}", line.what);
        }
        text.push('\n');
        for remark in &self.remarks {
            let _ = writeln!(text, "note: {remark}");
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let sample = &row.sample;
            json!({
                "group": row.group, "name": row.name, "rounds": sample.0.len(), "min_us": sample.at(0.0),
                "median_us": sample.median(), "p99_us": sample.p99(), "max_us": sample.max(),
            })
        });
        let lines = self.lines.iter().map(|line| {
            json!({
                "what": line.what, "figure": line.figure, "unit": line.unit,
                "limit": line.limit.map(|limit| limit.shown(line.unit)),
                "pass": line.limit.map(|limit| limit.holds(line.figure)),
            })
        });
        json!({
            "machine": self.machine, "durations": rows.collect::<Vec<_>>(), "lines": lines.collect::<Vec<_>>(),
            "remarks": self.remarks,
        })
    }

    /// From median to worst of each contender, on a logarithmic scale.
    fn plot(&self) -> String {
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| matches!(row.group, "status" | "end" | "end in memory")).collect();
        let (left, width, step) = (330.0, 520.0, 24.0);
        let (low, high) = (100.0_f64.log10(), 100e6_f64.log10());
        let across = |micros: f64| left + width * ((micros.max(100.0).log10() - low) / (high - low)).min(1.0);
        let bottom = 70.0 + step * rows.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 {:.0}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"900\" height=\"{0:.0}\" fill=\"#fff\"/>\n\
             <text x=\"16\" y=\"24\" font-size=\"15\">How late the caller learns of the end: median, 99th percentile, \
             worst</text>\n",
            bottom + 46.0
        );
        for (micros, label) in
            [(1e2, "0.1 ms"), (1e3, "1 ms"), (1e4, "10 ms"), (1e5, "0.1 s"), (1e6, "1 s"), (1e7, "10 s")]
        {
            let x = across(micros);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"40\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>",
                bottom + 16.0
            );
        }
        for (place, row) in rows.iter().enumerate() {
            let y = 60.0 + step * place as f64;
            let color = if row.name.starts_with("dogwatch") { "#b5460f" } else { "#47617d" };
            let (median, p99, max) = (across(row.sample.median()), across(row.sample.p99()), across(row.sample.max()));
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <line x1=\"{median:.1}\" y1=\"{y}\" x2=\"{max:.1}\" y2=\"{y}\" stroke=\"{color}\"/>\
                 <line x1=\"{p99:.1}\" y1=\"{:.1}\" x2=\"{p99:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>\
                 <circle cx=\"{median:.1}\" cy=\"{y}\" r=\"5\" fill=\"{color}\"/>",
                left - 12.0,
                y + 4.0,
                row.name,
                y - 6.0,
                y + 6.0
            );
        }
        let _ =
            writeln!(svg, "<text x=\"16\" y=\"{:.1}\" fill=\"#666\">{}</text>\n</svg>", bottom + 36.0, self.machine);
        svg
    }
}

const GROUPS: [(&str, &str, &str); 5] = [
    ("status", "Status published -> caller has reaped the waiter", "C inotify waiter, left to the collector"),
    ("end", "Job's end -> caller has reaped the waiter", "dogwatch run -d, wait"),
    ("end in memory", "The same, all files on tmpfs", "dogwatch run -d, wait, tmpfs"),
    ("start", "Started -> ended", "/bin/true, whole"),
    ("whole", "Whole commands", ""),
];

/// Microseconds for people.
fn span(micros: f64) -> String {
    if micros < 1e3 {
        format!("{micros:.0} us")
    } else if micros < 1e6 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("?").trim();
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{date}; {count} cores of {model}; Linux {}", kernel.trim())
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
