//! The text of a file's part, read line by line into rows, with every mistake at its line and column.
//!
//! Only the form is judged here; what the mall has is compared in `check.rs`.

#[cfg(test)]
mod tests;

use csv::{ReaderBuilder, StringRecord};
use domain::import::ImportKind;
use domain::locale::LocalizedText;
use domain::package::{Package, PackageType, Volume};
use domain::plan::PriceKind;
use domain::sim::SimState;
use domain::{Currency, Iccid, Money, Timestamp, territory};
use store::{CataloguePlan, ImportError};
use wire::admin::catalogue::{ROUTE_MAX, ROUTE_WORD_CHARS_MAX};
use wire::admin::import::{LINE_BYTES_MAX, UNLIMITED, columns};
use wire::admin::{Field, check_text};

use crate::admin::read_hop;

/// The most countries of a package, and the most numbers of periods of a plan.
const ITEMS_MAX: usize = 250;
/// The most periods that can be bought at once.
const PERIODS_MAX: u32 = 999;
/// The place of a column that a file does not have.
const MISSING: usize = usize::MAX;

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    Sim(SimLine),
    Package(Box<PackageLine>),
    Plan(Box<CataloguePlan>),
    Price(Box<PriceLine>),
}

impl Line {
    /// The carriers that it names, each with its column.
    pub(crate) fn carriers(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Sim(sim) => vec![("carrier", &sim.carrier)],
            Self::Package(line) => {
                let others = line.route.iter().flatten();
                let others = others.map(|(carrier, _)| ("route", carrier.as_str()));
                std::iter::once(("carrier", line.package.carrier.as_str())).chain(others).collect()
            }
            Self::Plan(_) | Self::Price(_) => Vec::new(),
        }
    }
}

/// A SIM as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SimLine {
    pub iccid: Iccid,
    pub carrier: String,
    pub state: SimState,
}

/// A package as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackageLine {
    pub package: Package,
    /// Its other carriers, each with its product; `None` where the file has no such column.
    pub route: Option<Vec<(String, String)>>,
}

/// A price as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PriceLine {
    pub partner: String,
    pub plan: String,
    pub kind: PriceKind,
    pub unit: Money,
    pub valid_from: Timestamp,
    pub valid_to: Option<Timestamp>,
}

/// A row with its line's number in the file.
pub(crate) type Numbered = (i64, Line);

/// What stands in a part.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The header's names, where the part has the header.
    pub columns: Option<Vec<String>>,
    /// How many lines it has.
    pub lines: i64,
    /// How many rows it has.
    pub rows: i64,
    /// Whether its last line has no end.
    pub is_cut: bool,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// An error about a whole line, or about the file where the line is its first.
pub(crate) fn error(line_no: i64, column: &str, detail: impl Into<String>) -> ImportError {
    ImportError { line_no, column_name: column.to_owned(), detail: detail.into() }
}

/// The columns of a kind of file.
pub(crate) fn fields(kind: ImportKind) -> &'static [Field] {
    columns(kind.as_str()).unwrap_or(&[])
}

/// Reads a part that begins at a line of the file. Without the header's names it has the header. Every
/// row that is right is given to `each`.
pub(crate) fn read(
    kind: ImportKind,
    header: Option<&[String]>,
    (body, first_line): (&str, i64),
    mut each: impl FnMut(Numbered),
) -> Part {
    let mut part = Part { is_cut: !body.ends_with('\n'), ..Part::default() };
    let ends = body.bytes().filter(|byte| *byte == b'\n').count();
    part.lines = number(ends) + i64::from(part.is_cut);
    if let Some(place) = body.lines().position(|line| line.len() > LINE_BYTES_MAX) {
        let line_no = first_line + number(place);
        let what = format!("longer than {LINE_BYTES_MAX} bytes: no row of this kind is so long");
        part.errors.push(error(line_no, "", what));
        return part;
    }
    // Some spreadsheets begin a file with a mark of its encoding.
    let text = if first_line == 1 { body.trim_start_matches('\u{feff}') } else { body };
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut places = header.map(|names| order(kind, names));
    let (mut record, mut line_no, mut counted) = (StringRecord::new(), first_line, 0);
    loop {
        let begin = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => {
                part.errors.push(error(line_no, "", why.to_string()));
                break;
            }
        }
        // The reader stands before empty lines and before the second half of a line's end.
        let rest = text.get(begin..).unwrap_or_default();
        let begin = begin + (rest.len() - rest.trim_start_matches(['\r', '\n']).len());
        let passed = text.get(counted..begin).unwrap_or_default();
        line_no += number(passed.bytes().filter(|byte| *byte == b'\n').count());
        counted = begin;
        let Some(places) = &places else {
            let names: Vec<String> = record.iter().map(str::to_owned).collect();
            part.errors.extend(check_header(kind, &names, line_no));
            if !part.errors.is_empty() {
                break;
            }
            places = Some(order(kind, &names));
            part.columns = Some(names);
            continue;
        };
        part.rows += 1;
        let mut cells = Cells {
            record: &record,
            places,
            fields: fields(kind).iter(),
            line_no,
            errors: &mut part.errors,
        };
        if let Some(line) = cells.line(kind) {
            each((line_no, line));
        }
    }
    if places.is_none() && part.errors.is_empty() {
        part.errors.push(error(1, "", format!("no header; it must be: {}", header_text(kind))));
    }
    part
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Where each column of the kind stands in the file.
fn order(kind: ImportKind, names: &[String]) -> Vec<usize> {
    let place = |field: &Field| names.iter().position(|name| name == field.name);
    // A header that lacks one that must be there was refused.
    fields(kind).iter().map(|field| place(field).unwrap_or(MISSING)).collect()
}

fn header_text(kind: ImportKind) -> String {
    fields(kind).iter().map(|field| field.name).collect::<Vec<_>>().join(",")
}

fn check_header(kind: ImportKind, names: &[String], line_no: i64) -> Vec<ImportError> {
    let mut errors = Vec::new();
    for (place, name) in names.iter().enumerate() {
        // A header may be anything at all.
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        if !fields(kind).iter().any(|field| field.name == name) {
            let what =
                format!("no column of {}; the header is: {}", kind.as_str(), header_text(kind));
            errors.push(error(line_no, &shown, what));
        } else if names[..place].contains(name) {
            errors.push(error(line_no, &shown, "the column is there twice"));
        }
    }
    let needed = fields(kind).iter().filter(|field| field.required);
    for field in needed.filter(|field| !names.iter().any(|name| name == field.name)) {
        errors.push(error(line_no, field.name, "the column is missing"));
    }
    errors
}

/// The cells of a row, taken in the order of the kind's columns.
struct Cells<'a> {
    record: &'a StringRecord,
    places: &'a [usize],
    fields: std::slice::Iter<'static, Field>,
    line_no: i64,
    errors: &'a mut Vec<ImportError>,
}

impl<'a> Cells<'a> {
    fn line(&mut self, kind: ImportKind) -> Option<Line> {
        let columns = self.places.iter().filter(|place| **place != MISSING).count();
        if self.record.len() != columns {
            let what = format!(
                "{} cells instead of {columns}; a comma or a quote may be missing or too many",
                self.record.len()
            );
            self.errors.push(error(self.line_no, "", what));
            return None;
        }
        match kind {
            ImportKind::Sims => self.sim(),
            ImportKind::Packages => self.package(),
            ImportKind::Plans => self.plan(),
            ImportKind::Prices => self.price(),
        }
    }

    /// The next cell, read in some way.
    fn next<T>(&mut self, read: impl FnOnce(&Field, &'a str) -> Result<T, String>) -> Option<T> {
        let field = self.fields.next()?;
        let place = self.places.get(self.places.len() - 1 - self.fields.len())?;
        let text = self.record.get(*place)?;
        let read = if text.contains(['\n', '\r']) {
            Err("a line break in a cell; a quote may not be closed".to_owned())
        } else if text.chars().any(wire::form::is_unprintable) {
            Err("a control character in a cell".to_owned())
        } else {
            read(field, text)
        };
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                self.errors.push(error(self.line_no, field.name, why));
                None
            }
        }
    }

    /// The next cell as text that is what its column says.
    fn text(&mut self) -> Option<String> {
        self.next(|field, text| checked(field, text).map(str::to_owned))
    }

    /// The next cell as something that its column's text stands for.
    fn parsed<T: std::str::FromStr>(&mut self) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        self.next(|field, text| {
            checked(field, text)?.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    fn flag(&mut self) -> Option<bool> {
        self.next(|_, text| match text {
            // Spreadsheets write them in capitals.
            "true" | "TRUE" => Ok(true),
            "false" | "FALSE" => Ok(false),
            _ => Err("not true or false".to_owned()),
        })
    }

    /// The next two cells: a text in English and one in Chinese, one of which may be missing.
    fn name(&mut self) -> Option<LocalizedText> {
        let column = self.fields.as_slice().first()?.name;
        let texts = self.texts()?;
        if texts.0.values().all(|text| text.trim().is_empty()) {
            let what = "a name in one language at least is needed";
            self.errors.push(error(self.line_no, column, what));
            return None;
        }
        Some(texts)
    }

    /// The next two cells: a text in English and one in Chinese, each of which may be missing.
    fn texts(&mut self) -> Option<LocalizedText> {
        let texts = [("en", self.text()), ("zh", self.text())];
        let mut read = LocalizedText::default();
        for (language, text) in texts {
            let text = text?;
            if !text.is_empty() {
                read.0.insert(language.to_owned(), text);
            }
        }
        Some(read)
    }

    fn sim(&mut self) -> Option<Line> {
        let iccid = self.next(|_, text| {
            let is_number = text.contains(['E', 'e', '+', '.']);
            let hint = if is_number { "; a spreadsheet took it for a number" } else { "" };
            text.parse::<Iccid>().map_err(|error| format!("{error}{hint}"))
        });
        let (carrier, state) = (self.text(), self.parsed());
        Some(Line::Sim(SimLine { iccid: iccid?, carrier: carrier?, state: state? }))
    }

    fn package(&mut self) -> Option<Line> {
        let code = self.text();
        let kind = self.next(|field, text| {
            let text = checked(field, text)?;
            PackageType::from_word(text).map_err(|error| error.to_string())
        });
        let calendar = self.flag();
        let volume = self.next(|_, text| match text {
            UNLIMITED => Ok(Volume::Unlimited),
            text => match whole(text).filter(|bytes| i64::try_from(*bytes).is_ok()) {
                Some(bytes) => Ok(Volume::Bytes(bytes)),
                None => Err(format!("neither a whole number of bytes nor {UNLIMITED}")),
            },
        });
        let area = self.name();
        let countries = self.next(|_, text| list(text, country));
        let (carrier, carrier_product) = (self.text(), self.text());
        let has_route = self.places.last().is_some_and(|place| *place != MISSING);
        let route = self.next(|field, text| {
            let route = list(checked(field, text)?, hop)?;
            let carriers = route.iter().map(|(carrier, _)| carrier).chain(&carrier);
            let mut carriers: Vec<&String> = carriers.collect();
            carriers.sort_unstable();
            match carriers.windows(2).find(|pair| pair.first() == pair.last()) {
                _ if route.len() > ROUTE_MAX => Err(format!("more than {ROUTE_MAX}")),
                Some(twice) => Err(format!("a carrier is there twice: {twice:?}")),
                None => Ok(route),
            }
        });
        let route = if has_route { Some(route?) } else { None };
        let package = Package {
            code: code?,
            kind: kind?,
            calendar: calendar?,
            volume: volume?,
            area: area?,
            countries: countries?,
            carrier: carrier?,
            carrier_product: carrier_product?,
        };
        Some(Line::Package(Box::new(PackageLine { package, route })))
    }

    fn plan(&mut self) -> Option<Line> {
        let (code, plan_id, package_code) = (self.text(), self.text(), self.text());
        let (name, description) = (self.name(), self.texts());
        let periods = self.next(|_, text| match list(text, period)? {
            periods if periods.is_empty() => Err("a plan needs at least one".to_owned()),
            mut periods => {
                periods.sort_unstable();
                Ok(periods)
            }
        });
        let (renewable, on_sale) = (self.flag(), self.flag());
        Some(Line::Plan(Box::new(CataloguePlan {
            code: code?,
            plan_id: plan_id?,
            package_code: package_code?,
            name: name?,
            description: description?,
            periods: periods?,
            renewable: renewable?,
            on_sale: on_sale?,
        })))
    }

    fn price(&mut self) -> Option<Line> {
        let (partner, plan, kind) = (self.text(), self.text(), self.parsed());
        let currency: Option<Currency> = self.parsed();
        let unit = self.next(|field, text| {
            let text = checked(field, text)?;
            // Without a currency, which is told already, no more can be said.
            let unit = currency.map(|currency| Money::parse(text, currency)).transpose();
            unit.map_err(|error| error.to_string())
        });
        let valid_from = self.next(time);
        let valid_to = self.next(|field, text| match text {
            "" => Ok(None),
            text => match (time(field, text)?, valid_from) {
                (to, Some(from)) if to <= from => Err("not after valid_from".to_owned()),
                (to, _) => Ok(Some(to)),
            },
        });
        Some(Line::Price(Box::new(PriceLine {
            partner: partner?,
            plan: plan?,
            kind: kind?,
            unit: unit??,
            valid_from: valid_from?,
            valid_to: valid_to?,
        })))
    }
}

fn checked<'a>(field: &Field, text: &'a str) -> Result<&'a str, String> {
    check_text(&field.kind, text).map_or(Ok(text), Err)
}

fn time(field: &Field, text: &str) -> Result<Timestamp, String> {
    let text = checked(field, text)?;
    Timestamp::parse_rfc3339(text).map_err(|error| error.to_string())
}

/// Items with a space between, none of them twice.
fn list<T: PartialEq>(
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut items = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let item = read(word)?;
        if items.contains(&item) {
            return Err(format!("{word} is there twice"));
        }
        if items.len() == ITEMS_MAX {
            return Err(format!("more than {ITEMS_MAX}"));
        }
        items.push(item);
    }
    Ok(items)
}

/// A whole number of digits alone.
fn whole(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn country(word: &str) -> Result<String, String> {
    let code = word.len() == 2 && territory::find(word) == Some(word);
    if code { Ok(word.to_owned()) } else { Err(format!("{word:?} is no ISO 3166-1 code")) }
}

fn hop(word: &str) -> Result<(String, String), String> {
    match word.chars().count() {
        1..=ROUTE_WORD_CHARS_MAX => read_hop(word),
        _ => {
            Err(format!("a carrier with its product has {ROUTE_WORD_CHARS_MAX} characters at most"))
        }
    }
}

fn period(word: &str) -> Result<u32, String> {
    let count = whole(word).and_then(|count| u32::try_from(count).ok());
    let count = count.filter(|count| (1..=PERIODS_MAX).contains(count));
    count.ok_or_else(|| format!("{word:?} is not a whole number from 1 to {PERIODS_MAX}"))
}

/// The cells of a row in the order of its kind's columns, as exports have them.
pub(crate) fn cells(line: &Line) -> Vec<String> {
    let texts = |text: &LocalizedText| {
        ["en", "zh"].map(|language| text.0.get(language).cloned().unwrap_or_default())
    };
    match line {
        Line::Sim(sim) => {
            let iccid = sim.iccid.as_str().to_owned();
            vec![iccid, sim.carrier.clone(), sim.state.as_str().to_owned()]
        }
        Line::Package(line) => {
            let PackageLine { package, route } = &**line;
            let hops = route.iter().flatten();
            let hops: Vec<_> =
                hops.map(|(carrier, product)| format!("{carrier}:{product}")).collect();
            let volume = match package.volume {
                Volume::Unlimited => UNLIMITED.to_owned(),
                Volume::Bytes(bytes) => bytes.to_string(),
            };
            let [en, zh] = texts(&package.area);
            vec![
                package.code.clone(),
                package.kind.word().to_owned(),
                package.calendar.to_string(),
                volume,
                en,
                zh,
                package.countries.join(" "),
                package.carrier.clone(),
                package.carrier_product.clone(),
                hops.join(" "),
            ]
        }
        Line::Plan(plan) => {
            let ([en, zh], [about_en, about_zh]) = (texts(&plan.name), texts(&plan.description));
            let periods: Vec<String> = plan.periods.iter().map(ToString::to_string).collect();
            vec![
                plan.code.clone(),
                plan.plan_id.clone(),
                plan.package_code.clone(),
                en,
                zh,
                about_en,
                about_zh,
                periods.join(" "),
                plan.renewable.to_string(),
                plan.on_sale.to_string(),
            ]
        }
        Line::Price(price) => vec![
            price.partner.clone(),
            price.plan.clone(),
            price.kind.as_str().to_owned(),
            price.unit.currency.code().to_owned(),
            price.unit.decimal(),
            price.valid_from.rfc3339(),
            price.valid_to.map(Timestamp::rfc3339).unwrap_or_default(),
        ],
    }
}
