//! Where the account is given: lines with the time, colour on terminals alone, a summary.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

/// Names of nodes.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default().bold();
/// What came true.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What broke.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
const TITLE: Style = Style::new().bold();

/// Tells the story and keeps account of what was checked.
#[derive(Debug)]
pub(crate) struct Stage {
    began: Instant,
    fast: bool,
    acts: usize,
    kept: Vec<String>,
}

impl Stage {
    pub(crate) fn new(fast: bool) -> Self {
        Self { began: Instant::now(), fast, acts: 0, kept: Vec::new() }
    }

    /// A line with the time since the beginning.
    pub(crate) fn say(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        anstream::println!("{DIM}{seconds:7.3}{DIM:#}  {text}");
    }

    /// A line without.
    pub(crate) fn show(&self, text: &str) {
        anstream::println!("         {text}");
    }

    /// The title of an act.
    pub(crate) async fn act(&mut self, title: &str) {
        self.acts += 1;
        anstream::println!("\n{TITLE}{}. {title}{TITLE:#}", self.acts);
        self.pause(200).await;
    }

    /// Something was checked and is true.
    pub(crate) fn kept(&mut self, what: &str) {
        self.say(&format!("{GOOD}✓{GOOD:#} {what}"));
        self.kept.push(what.to_owned());
    }

    /// For the reader alone: nothing that is checked depends on it.
    pub(crate) async fn pause(&self, millis: u64) {
        if !self.fast {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    /// What was checked, and what was not true.
    pub(crate) fn summary(&self, broken: Option<&str>) {
        let seconds = self.began.elapsed().as_secs_f64();
        anstream::println!("\n{TITLE}Checked in {seconds:.1} s{TITLE:#}");
        for what in &self.kept {
            anstream::println!("  {GOOD}✓{GOOD:#} {what}");
        }
        match broken {
            None => anstream::println!("{GOOD}All of it is true.{GOOD:#}"),
            Some(what) => anstream::println!("  {BAD}✗ {what}{BAD:#}\nThe rest was not tried."),
        }
    }
}

/// A span as people write it.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1e3;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 10_000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1e3)
    }
}

/// Thousands set apart.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(span(Duration::from_micros(1250)), "1.2 ms");
        assert_eq!(span(Duration::from_millis(999)), "999 ms");
    }
}
