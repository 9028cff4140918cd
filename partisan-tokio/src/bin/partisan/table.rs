//! Answers as text for people.

use std::fmt::Write;

use crate::requests::{CallRow, ProcessRow, Reply, TreeRow};

/// Columns as wide as their widest cell; the last one is not padded.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into())
}

fn joined(names: &[String]) -> String {
    or_dash(Some(names.join(", ")))
}

fn tree_rows(tree: &TreeRow) -> [[String; 2]; 6] {
    let kind = if tree.own { "of this sender alone" } else { "shared by all senders" };
    [
        ["kind".into(), kind.into()],
        ["shaped by".into(), tree.root.clone().unwrap_or_else(|| "every message".into())],
        ["comes by".into(), or_dash(tree.parent.clone())],
        ["hops".into(), tree.hops.to_string()],
        ["sent to".into(), joined(&tree.eager)],
        ["announced to".into(), joined(&tree.lazy)],
    ]
}

fn processes(rows: &[ProcessRow]) -> String {
    table(
        ["PROCESS", "NAMES", "WAITING", "LINKS", "MONITORS", "WATCHED BY", "TIMERS"],
        rows.iter().map(|row| {
            [
                row.reference.clone(),
                joined(&row.names),
                row.waiting.to_string(),
                row.links.to_string(),
                row.monitors.to_string(),
                row.watched_by.to_string(),
                row.timers.to_string(),
            ]
        }),
    )
}

fn call_rows(calls: &CallRow) -> [[String; 2]; 8] {
    let row = |name: &str, count: u64| [name.to_owned(), count.to_string()];
    [
        row("waiting for answers", calls.waiting as u64),
        row("being answered here", calls.answering as u64),
        row("asked", calls.asked),
        row("served", calls.served),
        row("turned away", calls.overloaded),
        row("timed out", calls.timeouts),
        row("answered too late", calls.late),
        row("answers not sent", calls.unsent),
    ]
}

/// The answer as text that ends with a line end.
pub(crate) fn render(reply: &Reply) -> String {
    match reply {
        Reply::Members(members) => table(
            ["NAME", "ADDRESSES", "INCARNATION", "STATE"],
            members.iter().map(|member| {
                let addresses = or_dash(Some(member.addresses.join(",")));
                let state = member.state.as_str().to_owned();
                let incarnation = member.incarnation.to_string();
                [member.name.clone(), addresses, incarnation, state]
            }),
        ),
        Reply::Connections(connections) if connections.is_empty() => "no connections\n".into(),
        Reply::Connections(connections) => table(
            ["PEER", "CHANNEL", "LANE", "OPENED BY"],
            connections.iter().map(|row| {
                let by = if row.dialled { "this node" } else { "the peer" };
                let lane = row.lane.to_string();
                [row.peer.clone(), row.channel.clone(), lane, by.into()]
            }),
        ),
        Reply::Peers(peers) if peers.is_empty() => "no peers\n".into(),
        Reply::Peers(peers) => table(
            ["NAME", "CONNECTED", "ROUND TRIP", "FAILED DIALS", "LAST FAILURE"],
            peers.iter().map(|peer| {
                let connected = if peer.connected { "yes" } else { "no" };
                let millis = |micros: u64| format!("{:.3} ms", micros as f64 / 1e3);
                [
                    peer.name.clone(),
                    connected.into(),
                    or_dash(peer.round_trip_us.map(millis)),
                    peer.failures.to_string(),
                    or_dash(peer.last_failure.clone()),
                ]
            }),
        ),
        Reply::Counters(counters) => table(
            ["COUNTER", "VALUE"],
            counters.iter().map(|(name, value)| [name.clone(), value.to_string()]),
        ),
        Reply::Neighbors(names) if names.is_empty() => "no neighbours\n".into(),
        Reply::Neighbors(names) => format!("{}\n", names.join("\n")),
        Reply::Views(views) => {
            let row = |view: &str, names: &[String]| [view.to_owned(), joined(names)];
            table(["VIEW", "NODES"], [row("active", &views.active), row("passive", &views.passive)])
        }
        Reply::Tree(tree) => table(["TREE", ""], tree_rows(tree)),
        Reply::Partitions(rows) if rows.is_empty() => "no injected partitions\n".into(),
        Reply::Partitions(rows) => table(
            ["PARTITION", "SENDS NOTHING TO"],
            rows.iter().map(|row| [row.id.clone(), joined(&row.nothing_to)]),
        ),
        Reply::Processes(rows) if rows.is_empty() => "no processes\n".into(),
        Reply::Processes(rows) => processes(rows),
        Reply::Calls(calls) => table(["CALLS", ""], call_rows(calls)),
        Reply::Done(text) => format!("{text}\n"),
        Reply::Error(text) => format!("error: {text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["ü".into(), "1".into()], ["longer".into(), "22".into()]];
        assert_eq!(table(["A", "B"], rows), "A       B\nü       1\nlonger  22\n");
    }
}
