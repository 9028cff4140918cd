//! Traces recorded from the real OTP: each is a test of its name, and must be met to the letter.
//!
//! `tests/golden/*.txt` hold them as Erlang prints them.

mod gen_server;
mod gen_statem;
mod rules;
mod term;

use std::fs;
use std::path::Path;

use term::Term;

/// One recorded trace: its name, and what was printed.
#[derive(Debug)]
struct Trace {
    name: String,
    text: String,
}

/// All traces of a file, in its order.
fn traces(file: &str) -> Vec<Trace> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut traces: Vec<Trace> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("- "), traces.last_mut()) {
            (Some(name), _) => traces.push(Trace { name: name.into(), text: String::new() }),
            (None, Some(trace)) => trace.text.extend([line, "\n"]),
            (None, None) => panic!("{}: it begins with no name", path.display()),
        }
    }
    traces
}

/// What was recorded under a name.
fn recorded(file: &str, name: &str) -> String {
    let mut found = traces(file).into_iter().filter(|trace| trace.name == name);
    found.next().unwrap_or_else(|| panic!("{file} has no trace `{name}`")).text
}

/// The term that follows `key=` in what was recorded.
fn part(text: &str, key: &str) -> Term {
    let (_, rest) = text.split_once(&format!("{key}=")).unwrap_or_else(|| panic!("no {key}="));
    Term::first_of(rest)
}

/// Every trace of a file has a test, and every test a trace.
fn are_all_tested(file: &str, tested: &[&str]) {
    let names: Vec<String> = traces(file).into_iter().map(|trace| trace.name).collect();
    assert_eq!(names, tested, "{file}: a test for each trace, in its order");
}

/// What a test does, to be compared with what was recorded.
trait Golden {
    /// Complains unless it comes to what was recorded.
    fn meets(self, recorded: &str);
}

/// What does not compile here, and so cannot happen: the reason for which the recorded server ends.
struct DoesNotCompile(&'static str);

impl Golden for DoesNotCompile {
    fn meets(self, recorded: &str) {
        let ended = part(recorded, "terminate");
        let reason = ended.parts()[0].parts()[0].word();
        assert_eq!(reason, self.0);
    }
}

/// Declares one test for each trace: `test => "name of the trace", what to compare with it;`.
macro_rules! golden {
    ($file:literal, $($test:ident => $name:literal, $run:expr;)*) => {
        $(
            #[test]
            fn $test() {
                $crate::golden::Golden::meets($run, &$crate::golden::recorded($file, $name));
            }
        )*

        #[test]
        fn each_trace_has_a_test() {
            $crate::golden::are_all_tested($file, &[$($name),*]);
        }
    };
}

use golden;
