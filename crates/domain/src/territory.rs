//! Names of countries (ISO 3166-1) and regions (UN M.49) in the languages of the mall, from Unicode CLDR.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::locale::{Locale, LocalizedText};

/// `code <tab> English <tab> simplified Chinese`, one per line.
static TABLE: &str = include_str!("../data/territories.tsv");

struct Names {
    by_code: HashMap<&'static str, [&'static str; 2]>,
    code_by_name: HashMap<String, &'static str>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names { by_code: HashMap::new(), code_by_name: HashMap::new() };
    for line in TABLE.lines() {
        let mut columns = line.split('\t');
        if let (Some(code), Some(en), Some(zh)) = (columns.next(), columns.next(), columns.next()) {
            names.by_code.insert(code, [en, zh]);
            for name in [code, en, zh] {
                names.code_by_name.insert(name.to_lowercase(), code);
            }
        }
    }
    names
});

/// The code of a country or region by its code or its name in any language, in any case.
pub fn find(text: &str) -> Option<&'static str> {
    NAMES.code_by_name.get(&text.trim().to_lowercase()).copied()
}

/// The name of a country or region in a language.
pub fn name(code: &str, locale: Locale) -> Option<&'static str> {
    let [en, zh] = NAMES.by_code.get(code)?;
    Some(match locale {
        Locale::EnUs => en,
        Locale::ZhCn => zh,
    })
}

/// The names of a country or region in all languages.
pub fn names(code: &str) -> Option<LocalizedText> {
    let [en, zh] = NAMES.by_code.get(code)?;
    Some(LocalizedText::en_zh(en, zh))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_language() {
        assert_eq!(find("欧洲"), Some("150"));
        assert_eq!(find("europe"), Some("150"));
        assert_eq!(find(" DE "), Some("DE"));
        assert_eq!(find("德国"), Some("DE"));
        assert_eq!(find("Atlantis"), None);
        assert_eq!(name("DE", Locale::ZhCn), Some("德国"));
        assert!(NAMES.by_code.len() > 250);
    }
}
