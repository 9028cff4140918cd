//! Who is connected to whom, as a matrix.

use std::fmt::Write;

use super::cast::{Actor, Cast};
use super::stage::{BAD, DIM, GOOD, NAME, Stage};

/// Draws one row a node: how many connections it has to each other one.
pub(crate) fn draw(stage: &Stage, cast: &Cast) {
    let mut head = String::from("      ");
    for actor in cast.actors() {
        // Writing to a string cannot fail.
        let _ = write!(head, "{NAME}{:>5}{NAME:#}", actor.short);
    }
    stage.show(&head);
    for row in cast.actors() {
        let mut line = format!("{NAME}{:>5}{NAME:#} ", row.short);
        for column in cast.actors() {
            line += &cell(row, column);
        }
        stage.show(&line);
    }
    stage.show(&format!(
        "{DIM}connections of the node at the left to the one above; - disconnected member{DIM:#}"
    ));
}

fn cell(row: &Actor, column: &Actor) -> String {
    if row.node.id() == column.node.id() {
        return format!("{DIM}    ·{DIM:#}");
    }
    if !row.present {
        return "     ".into();
    }
    let connections = row.node.connections();
    let id = column.node.id();
    let open = connections.iter().filter(|info| info.peer == id).count();
    match open {
        0 if column.member => format!("{BAD}    -{BAD:#}"),
        0 => "     ".into(),
        open => format!("{GOOD}{open:>5}{GOOD:#}"),
    }
}
