//! The command that repeats the experiments of a paper.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use partisan_sim::paper::{Options, Paper, Row, Watcher};
use serde_json::{Value, json};

/// What the program exits with when a gate is missed.
const MISSED: u8 = 20;

/// Into how many parts the bar of an experiment is divided.
const PARTS: f64 = 1_000.0;

/// Shows a bar for each experiment that goes on, and one for all of them; a line each where nobody
/// watches a terminal.
#[derive(Default)]
struct Bars {
    group: MultiProgress,
    all: OnceLock<ProgressBar>,
    each: Mutex<BTreeMap<usize, ProgressBar>>,
}

impl Bars {
    fn each(&self) -> MutexGuard<'_, BTreeMap<usize, ProgressBar>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn styled(&self, length: u64, template: &str) -> ProgressBar {
        let bar = self.group.add(ProgressBar::new(length));
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

impl Watcher for Bars {
    fn begins(&self, number: usize, of: usize, name: &str) {
        if !std::io::stderr().is_terminal() {
            eprintln!("{} of {of}: {name}", number + 1);
            return;
        }
        let template = "{bar:40} {pos} of {len} experiments, {elapsed}";
        self.all.get_or_init(|| {
            let bar = self.styled(of as u64, template);
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        let bar = self.styled(PARTS as u64, "{bar:40} {percent:>3} % {msg}, {eta} left");
        bar.set_message(name.to_owned());
        self.each().insert(number, bar);
    }

    fn reaches(&self, number: usize, share: f64) {
        if let Some(bar) = self.each().get(&number) {
            bar.set_position((share * PARTS) as u64);
        }
    }

    fn ends(&self, number: usize) {
        if let Some(bar) = self.each().remove(&number) {
            bar.finish_and_clear();
            self.group.remove(&bar);
        }
        if let Some(all) = self.all.get() {
            all.inc(1);
        }
    }
}

/// Runs the experiments, prints the table, and writes the page where one is wanted.
pub(crate) fn paper(paper: Paper, options: &Options, output: Option<&Path>) -> (u8, Value) {
    let bars = Arc::new(Bars::default());
    let watcher: Arc<dyn Watcher> = bars.clone();
    let findings = paper.run(options, &watcher);
    if let Some(all) = bars.all.get() {
        all.finish_and_clear();
    }
    print!("{}", findings.table());
    let rows: Vec<Value> = findings.rows.iter().map(to_json).collect();
    let object = json!({ "paper": paper.name(), "rows": rows, "missed": findings.missed() });
    if let Some(path) = output {
        let quick = if options.quick { " --quick" } else { "" };
        let name = paper.name().to_lowercase();
        let command = format!("partisan-sim paper {name}{quick} --seeds {}", options.seeds);
        let title = format!("{}: the experiments", paper.name());
        if let Err(error) = fs::write(path, findings.html(&title, &command)) {
            eprintln!("cannot write the page: {error}");
            return (1, object);
        }
        println!("the page is in {}", path.display());
    }
    (if findings.missed() { MISSED } else { 0 }, object)
}

fn to_json(row: &Row) -> Value {
    let mut object = serde_json::to_value(row).unwrap_or_default();
    object["mean"] = json!(row.mean());
    object["met"] = json!(row.met());
    object
}
