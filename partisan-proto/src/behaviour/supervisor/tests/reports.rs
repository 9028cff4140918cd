//! What supervisors report, and how much that matters.

use super::*;
use crate::behaviour::Severity;

/// What was reported since the last time, in short.
fn told(family: &mut Family) -> Vec<(Severity, &'static str, String)> {
    let told = |report: Report| {
        (report.severity(), report.name(), report.about().unwrap_or_default().to_string())
    };
    core::mem::take(&mut family.reports).into_iter().map(told).collect()
}

fn line(severity: Severity, name: &'static str, child: &str) -> (Severity, &'static str, String) {
    (severity, name, child.to_string())
}

#[test]
fn each_start_is_progress() {
    let mut family = Family::new(Supervisor::new(Strategy::OneForOne).child(kid("a")));
    let process = family.process("a");
    let started = Report::ChildStarted { child: "a".into(), process: Some(process) };
    assert_eq!(family.reports, [started]);
    assert_eq!(told(&mut family), [line(Severity::Progress, "child_started", "a")]);
}

#[test]
fn an_end_is_an_error_unless_it_is_in_good_order() {
    let ended = |restart, reason| {
        let supervisor = Supervisor::new(Strategy::OneForOne).child(kid("a").restart(restart));
        let mut family = Family::new(supervisor);
        family.reports.clear();
        family.dies("a", reason);
        family.settle();
        let told = told(&mut family).into_iter();
        told.filter(|(_, name, _)| *name == "child_ended").map(|told| told.0).collect::<Vec<_>>()
    };
    let with = ExitReason::shutdown_with(b"x").unwrap();
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for bad in [boom(), ExitReason::Killed, ExitReason::panicked("oh")] {
            assert_eq!(ended(restart, bad), [Severity::Error], "{restart:?}");
        }
        for good in [ExitReason::Normal, ExitReason::Shutdown, with.clone()] {
            // A permanent child was not to end at all.
            let expected: &[_] =
                if restart == Restart::Permanent { &[Severity::Warning] } else { &[] };
            assert_eq!(ended(restart, good), expected, "{restart:?}");
        }
    }
}

#[test]
fn giving_up_is_an_error_and_the_shutdown_that_follows_is_none() {
    let mut family = Family::new(three(Strategy::OneForOne).intensity(0, Duration::from_secs(5)));
    family.reports.clear();
    family.dies("b", boom());
    family.settle();
    let error = |name| line(Severity::Error, name, "b");
    assert_eq!(told(&mut family), [error("child_ended"), error("too_many_restarts")]);
    assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
}

#[test]
fn a_start_that_fails_is_an_error_where_nobody_else_is_told() {
    let mut family = Family::new(three(Strategy::OneForOne).intensity(1, Duration::from_secs(5)));
    family.reports.clear();
    family.refuses.insert("b");
    family.asks(Ask::TerminateChild(Child::Id("b".into())));
    family.asks(Ask::RestartChild("b".into()));
    assert_eq!(told(&mut family), [], "whoever asked is told");
    let mut family = Family::waiting(three(Strategy::OneForOne));
    family.refuses.insert("b");
    family.begin();
    let expected = [
        line(Severity::Progress, "child_started", "a"),
        line(Severity::Error, "child_not_started", "b"),
    ];
    assert_eq!(told(&mut family), expected);
}

#[test]
fn one_that_had_to_be_killed_is_an_error_unless_that_is_how_it_ends() {
    let stopped = |child: ChildSpec| {
        let mut family = Family::new(Supervisor::new(Strategy::OneForOne).child(child));
        family.stubborn.insert("a");
        family.reports.clear();
        family.solo.request(SystemRequest::Stop(ExitReason::Shutdown).write().unwrap());
        family.passes(10_000);
        assert_eq!(family.solo.ended(), Some(&ExitReason::Shutdown));
        told(&mut family)
    };
    assert_eq!(stopped(kid("a").shutdown(Shutdown::Kill)), []);
    let error = line(Severity::Error, "child_not_shut_down", "a");
    assert_eq!(stopped(kid("a")), [error]);
}

#[test]
fn one_that_ended_badly_while_others_were_ended_is_reported_too() {
    let mut family = Family::new(three(Strategy::OneForAll));
    family.stubborn.insert("c");
    family.dies("b", boom());
    family.settle();
    family.reports.clear();
    family.dies("a", boom());
    family.passes(5_000);
    let told = told(&mut family);
    assert!(told.contains(&line(Severity::Error, "child_ended", "a")), "{told:?}");
}
