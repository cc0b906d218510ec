//! Fills placeholders such as `<name>` in pieces of text.

/// Placeholders without brackets, and their texts.
pub(super) type Fillings<'a> = [(&'a str, &'a str)];

/// Fills the placeholders. One that is alone on its line takes any number of lines, indented like
/// itself; an empty text removes the line. Unknown placeholders stay.
pub(super) fn fill(text: &str, fillings: &Fillings<'_>) -> String {
    let mut filled = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        let place = line.trim_start();
        let indent = line.get(..line.len() - place.len()).unwrap_or_default();
        let alone = fillings.iter().find(|(name, _)| place == format!("<{name}>"));
        if let Some((_, lines)) = alone {
            for line in lines.lines() {
                if !line.is_empty() {
                    filled.push_str(indent);
                    filled.push_str(line);
                }
                filled.push('\n');
            }
        } else {
            let replaced = fillings.iter().fold(line.to_owned(), |line, (name, text)| {
                line.replace(&format!("<{name}>"), text)
            });
            filled.push_str(&replaced);
            filled.push('\n');
        }
    }
    filled
}

/// The logical name: `LateOrders` for `late-orders`, `OrdersId` for `/orders/{id}`.
pub(super) fn camel(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::{camel, fill};

    #[test]
    fn a_placeholder_alone_on_its_line_takes_many_lines() {
        let text = "a: <a>-<a>\n  <b>\nlast: <c>\n";
        let filled = |b| fill(text, &[("a", "1"), ("b", b)]);
        assert_eq!(filled("- x\n- y"), "a: 1-1\n  - x\n  - y\nlast: <c>\n");
        assert_eq!(filled(""), "a: 1-1\nlast: <c>\n");
    }

    #[test]
    fn a_logical_name_has_letters_and_digits_only() {
        assert_eq!(camel("late-orders"), "LateOrders");
        assert_eq!(camel("/orders/{id}/cancel"), "OrdersIdCancel");
        assert_eq!(camel("/openapi.json"), "OpenapiJson");
    }
}
