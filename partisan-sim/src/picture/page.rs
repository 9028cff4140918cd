//! The page that reports are written on, and the parts it is made of.

use partisan_proto::Duration;
use partisan_proto::config::duration_text;
use serde_json::Value;

use super::STYLE;
use crate::run::Scenario;

const TEMPLATE: &str = include_str!("report.html");
const PAGE_STYLE: &str = include_str!("report.css");

/// A page around these parts, which are HTML already but for the title.
#[must_use]
pub(crate) fn page(
    title: &str,
    subtitle: &str,
    numbers: &str,
    cards: &str,
    footer: &str,
    scripts: &str,
) -> String {
    let style = format!("{STYLE}{PAGE_STYLE}");
    let mut out = String::new();
    let mut rest = TEMPLATE;
    // In one pass: what is filled in is not looked through again.
    while let Some((before, after)) = rest.split_once("{{") {
        let (slot, after) = after.split_once("}}").unwrap_or((after, ""));
        out += before;
        match slot {
            "title" => out += &escape(title),
            "style" => out += &style,
            "subtitle" => out += subtitle,
            "numbers" => out += numbers,
            "cards" => out += cards,
            "footer" => out += footer,
            _ => out += scripts,
        }
        rest = after;
    }
    out + rest
}

/// A card with a heading, a line of explanation and a body in HTML.
pub(crate) fn card(class: &str, title: &str, note: &str, body: &str) -> String {
    let (title, note) = (escape(title), escape(note));
    format!(
        "<div class=\"card {class}\"><h2>{title}</h2><p class=\"quiet\">{note}</p>{body}</div>\n"
    )
}

/// Cards above each other in the place of one.
pub(super) fn stack(cards: &[String]) -> String {
    format!("<div class=\"stack\">{}</div>", cards.concat())
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            letter => out.push(letter),
        }
    }
    out
}

pub(super) fn span(span: Duration) -> String {
    duration_text::show(span)
}

/// The manager of every node, as the configuration calls it.
pub(super) fn manager_name(scenario: &Scenario) -> String {
    let value = serde_json::to_value(&scenario.manager).unwrap_or_default();
    let name = match &value {
        Value::String(name) => name.as_str(),
        Value::Object(fields) => fields.keys().next().map_or("", String::as_str),
        _ => "",
    };
    match name {
        "pluggable" => strategy_name(&value),
        "hyparview" | "hypar-view" | "hy-par-view" => "HyParView".into(),
        "client-server" => "Client and server".into(),
        name => name[..name.len().min(1)].to_uppercase() + name.get(1..).unwrap_or_default(),
    }
}

fn strategy_name(manager: &Value) -> String {
    let strategy = &manager["pluggable"]["strategy"];
    let name = match strategy {
        Value::Object(fields) => fields.keys().next().map_or("", String::as_str),
        strategy => strategy.as_str().unwrap_or_default(),
    };
    match name {
        "scamp-v1" => "SCAMP, version 1".into(),
        "scamp-v2" => "SCAMP, version 2".into(),
        _ => "Full mesh".into(),
    }
}

/// Every key of the configuration, and the scenario.
pub(super) fn parameter_card(scenario: &Scenario) -> String {
    let mut rows = vec![
        ("nodes".to_owned(), scenario.nodes.to_string()),
        ("latency".to_owned(), scenario.latency.to_string()),
        (
            "scenario".to_owned(),
            scenario.story.map_or_else(|| "none".into(), |story| story.to_string()),
        ),
        ("bootstrap".to_owned(), named(scenario.bootstrap.as_slice())),
        ("load".to_owned(), named(&[scenario.load])),
        ("faults".to_owned(), named(&scenario.faults)),
    ];
    let config = serde_json::to_value(&*scenario.config()).unwrap_or_default();
    flatten("", &config, &mut rows);
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!("<div><span>{}</span><b>{}</b></div>", escape(name), escape(value))
        })
        .collect();
    let body = format!("<div class=\"parameters\">{rows}</div>");
    card("wide", "Parameters", "of the run, and of every node", &body)
}

/// Choices as they are written on the command line.
fn named<V: clap::ValueEnum>(choices: &[V]) -> String {
    let names = choices.iter().filter_map(clap::ValueEnum::to_possible_value);
    let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), value, rows);
            }
        }
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        value => rows.push((path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_filled_in_again() {
        let page = page("a <title>", "{{cards}}", "n", "<b>card</b>", "f", "");
        assert!(page.contains("<title>a &lt;title&gt;</title>") && page.contains("{{cards}}"));
        assert_eq!(page.matches("<b>card</b>").count(), 1);
        assert!(card("wide", "a & b", "", "<i>").contains("<h2>a &amp; b</h2>"));
    }

    #[test]
    fn managers_have_names_and_every_parameter_is_shown() {
        let scenario = Scenario::default();
        assert_eq!(manager_name(&scenario), "Full mesh");
        let card = parameter_card(&scenario);
        for part in ["<b>contact</b>", "connections.keep_alive", "<b>traffic</b>", "0.1 to 0.5 ms"]
        {
            assert!(card.contains(part), "{part}");
        }
    }
}
