//! Rounds numbers: for people, and for programs.

/// At most so many decimals, and no zeros at the end.
pub(crate) fn short(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three decimals.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// A number with a comma after every three digits.
pub(crate) fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn a_short_number_has_no_more_decimals_than_it_needs() {
        let two = [1.0, 0.5, 2.034, 0.0, 100.0].map(|number| short(number, 2));
        assert_eq!(two, ["1", "0.5", "2.03", "0", "100"]);
        assert_eq!(short(2.0344, 3), "2.034");
    }
}
