//! What experiments found, next to what the papers say and to what is demanded.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::experiment::Watch;
use crate::picture::page::{card, escape, page};
use crate::picture::{Chart, Curve, Picture, number};

/// What is demanded of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// No less than the first and no more than the second.
    Between(f64, f64),
}

impl Gate {
    /// Whether a value satisfies it; what is no number does not.
    #[must_use]
    pub fn admits(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most + 1e-12,
            Self::AtLeast(least) => value >= least - 1e-12,
            Self::Between(least, most) => value >= least - 1e-12 && value <= most + 1e-12,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {}", number(*most)),
            Self::AtLeast(least) => write!(f, "≥ {}", number(*least)),
            Self::Between(least, most) => write!(f, "{} to {}", number(*least), number(*most)),
        }
    }
}

/// One measure of one experiment, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The experiment.
    pub experiment: String,
    /// What is measured, and in which unit.
    pub measure: String,
    /// What the paper says; `–` where it says nothing.
    pub paper: String,
    /// What was measured, by seed.
    pub ours: Vec<f64>,
    /// What is demanded of the mean, if anything.
    pub gate: Option<Gate>,
}

impl Row {
    /// The mean over the seeds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.ours.iter().sum::<f64>() / self.ours.len().max(1) as f64
    }

    /// The least and the greatest value of a seed.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        self.ours.iter().fold(start, |(least, most), value| (least.min(*value), most.max(*value)))
    }

    /// Whether the mean satisfies the gate; `None` where there is none.
    #[must_use]
    pub fn met(&self) -> Option<bool> {
        self.gate.map(|gate| gate.admits(self.mean()))
    }

    const fn verdict(met: Option<bool>) -> &'static str {
        match met {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn ours(&self) -> String {
        let (least, most) = self.range();
        if self.ours.len() < 2 || (most - least).abs() < 1e-12 {
            number(self.mean())
        } else {
            format!("{} ({} to {})", number(self.mean()), number(least), number(most))
        }
    }

    fn cells(&self) -> [String; 6] {
        let gate = self.gate.map(|gate| gate.to_string()).unwrap_or_default();
        [
            self.experiment.clone(),
            self.measure.clone(),
            self.paper.clone(),
            self.ours(),
            gate,
            Self::verdict(self.met()).to_owned(),
        ]
    }
}

const HEADINGS: [&str; 6] = ["experiment", "measure", "paper", "ours", "gate", ""];

/// A picture that belongs to an experiment.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it shows, in a line.
    pub note: String,
    /// It.
    pub picture: Picture,
}

/// Everything that the experiments of a paper found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// In the order of the experiments.
    pub rows: Vec<Row>,
    /// Pictures, of the first seed.
    pub figures: Vec<Figure>,
    /// How it was measured, where that needs saying.
    pub notes: Vec<String>,
    /// Curves of the first seed that are drawn together once all experiments are over, each with
    /// the name of its chart.
    pub(super) curves: Vec<(&'static str, Curve)>,
    /// Who is told how far the experiment has come.
    pub(super) watch: Watch,
}

impl Findings {
    /// Adds what one seed gave to the row of this measure.
    pub fn add(
        &mut self,
        experiment: &str,
        measure: &str,
        paper: &str,
        gate: Option<Gate>,
        value: f64,
    ) {
        let same = |row: &&mut Row| row.experiment == experiment && row.measure == measure;
        match self.rows.iter_mut().find(same) {
            Some(row) => {
                row.ours.push(value);
                // Gates may depend on the graph; the first one counts, so that all seeds agree.
            }
            None => self.rows.push(Row {
                experiment: experiment.into(),
                measure: measure.into(),
                paper: paper.into(),
                ours: vec![value],
                gate,
            }),
        }
    }

    /// Adds curves, once.
    pub fn chart(&mut self, note: &str, chart: &Chart<'_>) {
        self.figure(note, chart.picture());
    }

    /// Adds a picture, once.
    pub fn figure(&mut self, note: &str, picture: Picture) {
        if !self.figures.iter().any(|figure| figure.picture.title == picture.title) {
            self.figures.push(Figure { note: note.into(), picture });
        }
    }

    /// Keeps a curve for a chart of several experiments, once.
    pub(super) fn keep(&mut self, chart: &'static str, curve: Curve) {
        if !self.curves.iter().any(|(name, kept)| *name == chart && kept.name == curve.name) {
            self.curves.push((chart, curve));
        }
    }

    /// The curves kept for a chart.
    pub(super) fn kept(&self, chart: &str) -> Vec<Curve> {
        let curves = self.curves.iter().filter(|(name, _)| *name == chart);
        curves.map(|(_, curve)| curve.clone()).collect()
    }

    /// Adds what another experiment found.
    pub(super) fn merge(&mut self, other: Self) {
        for row in other.rows {
            for value in row.ours {
                self.add(&row.experiment, &row.measure, &row.paper, row.gate, value);
            }
        }
        other.figures.into_iter().for_each(|Figure { note, picture }| self.figure(&note, picture));
        other.notes.iter().for_each(|note| self.note(note));
        other.curves.into_iter().for_each(|(chart, curve)| self.keep(chart, curve));
    }

    /// Says how something was measured, once.
    pub fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.into());
        }
    }

    /// Whether a gate was missed.
    #[must_use]
    pub fn missed(&self) -> bool {
        self.rows.iter().any(|row| row.met() == Some(false))
    }

    /// As a table for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let mut widths = HEADINGS.map(|heading| heading.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        let mut line = |cells: [&str; 6]| {
            let padded: Vec<_> =
                cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            let _ = writeln!(out, "{}", padded.join("  ").trim_end());
        };
        line(HEADINGS);
        let mut last = "";
        for row in &rows {
            // An experiment is named once.
            let name = if row[0] == last { "" } else { &row[0] };
            last = &row[0];
            line([name, &row[1], &row[2], &row[3], &row[4], &row[5]]);
        }
        for note in &self.notes {
            let _ = writeln!(out, "{note}");
        }
        out
    }

    /// As a page. `command` is what runs it again.
    #[must_use]
    pub fn html(&self, title: &str, command: &str) -> String {
        let missed = self.rows.iter().filter(|row| row.met() == Some(false)).count();
        let gates = self.rows.iter().filter(|row| row.gate.is_some()).count();
        let good = if missed == 0 { "good" } else { "bad" };
        let numbers = format!(
            "<div class=\"number {good}\"><b>{} of {gates}</b><span>gates met</span><i>{} \
             measures</i></div>",
            gates - missed,
            self.rows.len()
        );
        let headings: String =
            HEADINGS.iter().map(|heading| format!("<th>{heading}</th>")).collect();
        let mut body = String::new();
        for row in &self.rows {
            let class = match row.met() {
                Some(true) => "ok",
                Some(false) => "missed",
                None => "",
            };
            let [experiment, measure, paper, ours, gate, verdict] =
                row.cells().map(|cell| escape(&cell));
            let _ = write!(
                body,
                "<tr><td>{experiment}</td><td>{measure}</td><td>{paper}</td><td>{ours}</td>\
                 <td>{gate}</td><td class=\"{class}\">{verdict}</td></tr>"
            );
        }
        let table = format!("<table><tr>{headings}</tr>{body}</table>");
        let mut cards = card("wide", "Measures", &self.notes.join(" "), &table);
        for Figure { note, picture } in &self.figures {
            cards += &card("", &picture.title, note, &picture.inline());
        }
        let footer = format!("Again: <code>{}</code>", escape(command));
        page(title, "", &numbers, &cards, &footer, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        for value in [6.36, 6.40] {
            let gate = Some(Gate::AtMost(6.4));
            findings.add("stable", "shortest path", "6.385", gate, value);
        }
        findings.add("stable", "degree", "5", None, 4.99);
        findings
    }

    #[test]
    fn the_mean_of_the_seeds_is_judged() {
        let mut findings = findings();
        assert_eq!((findings.rows.len(), findings.missed()), (2, false));
        assert_eq!((findings.rows[0].met(), findings.rows[1].met()), (Some(true), None));
        findings.add("killed", "reliability", "1", Some(Gate::AtLeast(0.999)), 0.99);
        assert!(findings.missed());
        assert!(!Gate::AtMost(1.0).admits(f64::NAN) && !Gate::AtLeast(1.0).admits(f64::NAN));
        assert!(Gate::AtMost(1.0).admits(1.0) && Gate::AtLeast(1.0).admits(1.0));
        let between = Gate::Between(0.9, 1.1);
        assert_eq!(
            [0.8, 0.9, 1.1, 1.2].map(|value| between.admits(value)),
            [false, true, true, false]
        );
    }

    #[test]
    fn tables_say_everything() {
        let mut findings = findings();
        findings.add("a < b", "x", "–", Some(Gate::AtLeast(2.0)), 1.0);
        findings.note("Measured so.");
        findings.note("Measured so.");
        let text = findings.table();
        for part in ["6.38 (6.36 to 6.40)", "≤ 6.40", "ok", "MISSED", "Measured so."] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert_eq!(text.matches("stable").count(), 1);
        let html = findings.html("Title", "partisan-sim paper <x>");
        for part in ["2 of 2", "a &lt; b", "class=\"missed\"", "paper &lt;x&gt;"] {
            assert!(html.contains(part) || part == "2 of 2", "{part}");
        }
        assert!(html.contains("1 of 2"));
    }
}
