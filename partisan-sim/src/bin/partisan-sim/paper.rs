//! The command that repeats the experiments of a paper.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use indicatif::ProgressBar;
use partisan_sim::paper::{Options, Paper, Row};
use serde_json::{Value, json};

/// What the program exits with when a gate is missed.
const MISSED: u8 = 20;

/// Runs the experiments, prints the table, and writes the page where one is wanted.
pub(crate) fn paper(paper: Paper, options: &Options, output: Option<&Path>) -> (u8, Value) {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let findings = paper.run(options, &mut |what| bar.set_message(what.to_owned()));
    bar.finish_and_clear();
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
