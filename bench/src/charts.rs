//! Charts: one picture for each figure, a bar for each store or each size, drawn as SVG text.
//!
//! Owns the drawing. The best is on top, or the smallest size; the whiskers are the least and the most. The scale is logarithmic
//! where values lie more than a hundredfold apart, and says so.

use crate::report::Column;
use crate::results::{Results, Size};
use measure::{Series, Unit};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 180.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 44.0;
const ROW: f64 = 24.0;
const BAR: f64 = 16.0;
/// From here on apart, bars would be too short to be seen.
const FAR_APART: f64 = 100.0;

struct Bar {
    name: String,
    median: f64,
    least: f64,
    most: f64,
}

impl Bar {
    fn of(name: String, series: Series) -> Option<Bar> {
        let (least, most) = series.spread()?;
        Some(Bar { name, median: series.median()?, least, most })
    }
}

/// The chart of a figure at one size; none if fewer than two stores have it.
pub(crate) fn bars(results: &Results, column: &Column, size: Size) -> Option<String> {
    let stores = results.stores.iter();
    let mut bars: Vec<Bar> = stores
        .filter_map(|note| Bar::of(note.name.clone(), results.series(&note.name, column.figure, size)))
        .collect();
    if bars.len() < 2 {
        return None;
    }
    bars.sort_by(|left, right| left.median.total_cmp(&right.median));
    if !column.unit.is_cost() {
        bars.reverse();
    }
    Some(draw(column, &bars))
}

/// The chart of a figure over sizes, for some stores; none if there is but one size.
pub(crate) fn sizes(results: &Results, column: &Column, stores: &[&str]) -> Option<String> {
    let sizes = results.sizes(column.figure);
    let short = |count: usize| Unit::Count.write(count as f64).replace(".00 ", " ").replace(".0 ", " ");
    let bars: Vec<Bar> = stores
        .iter()
        .flat_map(|store| sizes.iter().map(move |size| (store, size)))
        .filter_map(|(store, size)| {
            let name = format!("{store}, {} / {}", short(size.events), short(size.streams));
            Bar::of(name, results.series(store, column.figure, *size))
        })
        .collect();
    (sizes.len() > 1 && bars.len() > 1).then(|| draw(column, &bars))
}

fn draw(column: &Column, bars: &[Bar]) -> String {
    let scale = Scale::of(bars);
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let better = if column.unit.is_cost() { "less is better" } else { "more is better" };
    let logarithmic = if scale.is_logarithmic { ", logarithmic" } else { "" };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}, {}</text>\n\
         <text x=\"{}\" y=\"24\" text-anchor=\"end\" fill=\"#666666\">{better}{logarithmic}</text>\n",
        column.title,
        column.unit.name(),
        WIDTH - 12.0,
    );
    for (n, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * n as f64;
        let middle = y + BAR / 2.0;
        let (end, least, most) = (scale.at(bar.median), scale.at(bar.least), scale.at(bar.most));
        let fill = match bar.name.as_str() {
            name if name.starts_with("annals") => "#1f6feb",
            name if name.starts_with("raw") => "#b0b0b0",
            _ => "#d9a441",
        };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\n\
             <path d=\"M{least:.1} {middle}H{most:.1}M{least:.1} {}v8M{most:.1} {}v8\" stroke=\"#333333\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            bar.name,
            end - LEFT,
            middle - 4.0,
            middle - 4.0,
            most.max(end) + 8.0,
            middle + 4.0,
            column.unit.write(bar.median),
        );
    }
    svg + "</svg>\n"
}

/// Where a value lies.
struct Scale {
    is_logarithmic: bool,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(bars: &[Bar]) -> Scale {
        let high = bars.iter().map(|bar| bar.most).fold(f64::MIN_POSITIVE, f64::max);
        let low = bars.iter().map(|bar| bar.least).filter(|least| *least > 0.0).fold(high, f64::min);
        // The shortest bar of a logarithmic scale is to be seen, too.
        Scale { is_logarithmic: high / low > FAR_APART, low: low / 2.0, high }
    }

    fn at(&self, value: f64) -> f64 {
        let part = if self.is_logarithmic {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            value / self.high
        };
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }
}
