//! The languages the mall speaks, and texts that exist in several of them.

use std::collections::BTreeMap;

/// A language in which the mall answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Locale {
    /// English.
    EnUs,
    /// Simplified Chinese.
    ZhCn,
}

impl Locale {
    /// All languages, the default first.
    pub const ALL: [Self; 2] = [Self::EnUs, Self::ZhCn];

    /// The BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::EnUs => "en-US",
            Self::ZhCn => "zh-CN",
        }
    }

    /// The language subtag, which is the key of a [`LocalizedText`].
    pub fn language(self) -> &'static str {
        &self.tag()[..2]
    }

    /// The language of a BCP 47 tag, by its first subtag, in any case: `zh-Hans-SG` is Chinese.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|locale| locale.language().eq_ignore_ascii_case(primary))
    }
}

/// A text per language, by language subtag (`en`, `zh`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalizedText(pub BTreeMap<String, String>);

impl LocalizedText {
    /// A text in English and Chinese.
    pub fn en_zh(en: &str, zh: &str) -> Self {
        Self([("en", en), ("zh", zh)].map(|(tag, text)| (tag.to_owned(), text.to_owned())).into())
    }

    /// The text in a language, else English, else any; empty where there is none.
    pub fn get(&self, locale: Locale) -> &str {
        self.0
            .get(locale.language())
            .or_else(|| self.0.get("en"))
            .or_else(|| self.0.values().next())
            .map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(Locale::from_tag("zh-Hans-SG"), Some(Locale::ZhCn));
        assert_eq!(Locale::from_tag("EN"), Some(Locale::EnUs));
        assert_eq!(Locale::from_tag("fr"), None);
        assert_eq!(Locale::from_tag(""), None);
    }

    #[test]
    fn a_missing_language_falls_back_to_english() {
        let text = LocalizedText::en_zh("Europe", "欧洲");
        assert_eq!(text.get(Locale::ZhCn), "欧洲");
        let english = LocalizedText([("en".to_owned(), "Europe".to_owned())].into());
        assert_eq!(english.get(Locale::ZhCn), "Europe");
        assert_eq!(LocalizedText::default().get(Locale::EnUs), "");
    }
}
