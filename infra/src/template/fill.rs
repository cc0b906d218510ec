//! Pieces of text with places to fill in: `<name>`.

/// What is put where: the place without its brackets, and the text.
pub(super) type Fillings<'a> = [(&'a str, &'a str)];

/// The text with its places filled. A place that has a line for itself takes any number of lines, each indented as it is; with an
/// empty text the line goes. Places that are not named stay.
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
            let replaced =
                fillings.iter().fold(line.to_owned(), |line, (name, text)| line.replace(&format!("<{name}>"), text));
            filled.push_str(&replaced);
            filled.push('\n');
        }
    }
    filled
}

/// A name as logical names are written: `late-orders` as `LateOrders`, `/orders/{id}` as `OrdersId`.
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
    fn a_place_with_a_line_of_its_own_takes_any_number_of_lines() {
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
