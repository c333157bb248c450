//! Plots of what was found, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{Figures, ModeReport, Report, Row};
use crate::report::key;
use crate::servers;

const OURS: RGBColor = RGBColor(0xd9, 0x48, 0x01);
const BARE: RGBColor = RGBColor(0x96, 0x96, 0x96);
const PEER: RGBColor = RGBColor(0x31, 0x82, 0xbd);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Modes in the plot of CPU time.
const CPU_MODES: [&str; 6] = ["keep-alive-64", "pipelined-16", "browser", "echo-1k", "bytes-64k", "close"];

type Drawn = Result<(), Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws each plot for which there are figures into `folder`.
pub fn draw(report: &Report, folder: &Path) -> Result<(), String> {
    let draw = |name: &str, plot: &dyn Fn(&Path) -> Drawn| {
        let path = folder.join(name);
        plot(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let chosen: Vec<&ModeReport> = CPU_MODES.iter().filter_map(|name| mode(report, name)).collect();
    if !chosen.is_empty() {
        draw("cpu.svg", &|path| {
            bars(path, &chosen, "CPU time per request, as a ratio to the bare loop on epoll", by_ratio)
        })?;
    }
    let memory: Vec<&ModeReport> = ["idle-10k", "idle-18k"].iter().filter_map(|name| mode(report, name)).collect();
    if !memory.is_empty() {
        draw("memory.svg", &|path| bars(path, &memory, "Resident bytes of the server per idle connection", by_memory))?;
    }
    if let Some(latency) = mode(report, "latency") {
        draw("latency.svg", &|path| latencies(path, latency))?;
    }
    let beside = beside(report);
    if beside.iter().any(|(_, points)| points.len() > 1) {
        draw("beside.svg", &|path| scale(path, &beside))?;
    }
    Ok(())
}

fn mode<'r>(report: &'r Report, name: &str) -> Option<&'r ModeReport> {
    report.modes.iter().find(|mode| mode.name == name && mode.rows.iter().any(|row| row.figures.is_some()))
}

fn color(server: &str) -> RGBColor {
    match servers::ALL.iter().find(|known| known.name == server) {
        Some(known) if known.is_ours() => OURS,
        Some(known) if known.is_bare() => BARE,
        _ => PEER,
    }
}

/// A bar: the server, its length, and the text at its end.
type Bar = (String, f64, String);

fn by_ratio(mode: &ModeReport) -> Vec<Bar> {
    sorted(mode, |figures| (figures.ratio, format!("{:.2}", figures.ratio)))
}

fn by_memory(mode: &ModeReport) -> Vec<Bar> {
    // Those without a table of connections say nothing about memory.
    let mut bars =
        sorted(mode, |figures| (figures.bytes_per_connection, format!("{:.0}", figures.bytes_per_connection)));
    bars.retain(|(server, ..)| !server.starts_with("bare"));
    bars
}

fn sorted(mode: &ModeReport, value: impl Fn(&Figures) -> (f64, String)) -> Vec<Bar> {
    let mut rows: Vec<(&Row, &Figures)> =
        mode.rows.iter().filter_map(|row| Some((row, row.figures.as_ref()?))).collect();
    rows.sort_by(|(_, one), (_, other)| key(one).total_cmp(&key(other)));
    let bar = |(row, figures): (&Row, &Figures)| {
        let (length, text) = value(figures);
        (row.server.clone(), length, text)
    };
    rows.into_iter().map(bar).collect()
}

const PANEL_WIDTH: u32 = 460;
const BAR_HEIGHT: i32 = 16;
const NAME_WIDTH: i32 = 105;

/// Horizontal bars, one panel per mode, in two columns. Very long bars are cut off.
fn bars(path: &Path, modes: &[&ModeReport], title: &str, bars_of: fn(&ModeReport) -> Vec<Bar>) -> Drawn {
    let panels: Vec<(&ModeReport, Vec<Bar>)> = modes.iter().map(|mode| (*mode, bars_of(mode))).collect();
    let most = panels.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0);
    let panel_height = most as u32 * BAR_HEIGHT as u32 + 52;
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(2);
    let size = (columns as u32 * PANEL_WIDTH, rows as u32 * panel_height + 44);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (14, 12), ("sans-serif", 17).into_font().color(&INK)))?;
    let (_, below) = root.split_vertically(44);
    for (area, (mode, bars)) in below.split_evenly((rows, columns)).iter().zip(&panels) {
        panel(area, &mode.about, bars)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, title: &str, bars: &[Bar]) -> Drawn {
    area.draw(&Text::new(title.to_owned(), (14, 6), ("sans-serif", 13).into_font().color(&INK)))?;
    let mut lengths: Vec<f64> = bars.iter().map(|(_, length, _)| *length).collect();
    lengths.sort_by(f64::total_cmp);
    // One very slow server must not make all other bars short.
    let typical = lengths.get(lengths.len() / 2).copied().unwrap_or(1.0);
    let longest = lengths.last().copied().unwrap_or(1.0).min(3.0 * typical);
    let room = PANEL_WIDTH as i32 - NAME_WIDTH - 80;
    for (at, (server, length, text)) in (0..).zip(bars) {
        let top = 30 + at * BAR_HEIGHT;
        let middle = top + BAR_HEIGHT / 2 - 1;
        let end = NAME_WIDTH + 14 + (length.min(longest) / longest * f64::from(room)) as i32;
        let name = ("sans-serif", 12).into_font().color(&INK).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(server.clone(), (NAME_WIDTH + 8, middle), name))?;
        let bar = [(NAME_WIDTH + 14, top), (end.max(NAME_WIDTH + 15), top + BAR_HEIGHT - 4)];
        area.draw(&Rectangle::new(bar, color(server).filled()))?;
        let is_cut = *length > longest;
        let value = ("sans-serif", 12).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        let text = if is_cut { format!("\u{2026} {text}") } else { text.clone() };
        area.draw(&Text::new(text, (end + 6, middle), value))?;
    }
    Ok(())
}

/// For each server, p50, p99 and p99.9 on a logarithmic scale.
fn latencies(path: &Path, mode: &ModeReport) -> Drawn {
    let mut rows: Vec<(&Row, &Figures)> =
        mode.rows.iter().filter_map(|row| Some((row, row.figures.as_ref()?))).collect();
    rows.sort_by(|(_, one), (_, other)| one.p99_us.total_cmp(&other.p99_us));
    let least = rows.iter().map(|(_, figures)| figures.p50_us).fold(f64::INFINITY, f64::min);
    let most = rows.iter().map(|(_, figures)| figures.p999_us).fold(0.0, f64::max);
    let height = 90 + rows.len() as u32 * 22;
    let root = SVGBackend::new(path, (2 * PANEL_WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "Latency at half of the server's own peak: p50 (circle), p99 (square), p99.9 (line), in microseconds";
    root.draw(&Text::new(title, (14, 12), ("sans-serif", 15).into_font().color(&INK)))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .margin_top(36)
        .margin_right(40)
        .x_label_area_size(28)
        .y_label_area_size(NAME_WIDTH)
        .build_cartesian_2d((least * 0.8..most * 1.2).log_scale(), -0.5..rows.len() as f64 - 0.5)?;
    let name = |at: &f64| {
        let is_whole = (at - at.round()).abs() < 1e-6;
        let row = rows.len().checked_sub(1 + at.round().max(0.0) as usize).filter(|_| is_whole && *at >= -0.01);
        row.map_or_else(String::new, |row| rows[row].0.server.clone())
    };
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .x_labels(6)
        .y_labels(2 * rows.len() + 1)
        .y_label_formatter(&name)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .draw()?;
    for (from_top, (row, figures)) in rows.iter().enumerate() {
        let y = (rows.len() - 1 - from_top) as f64;
        let color = color(&row.server);
        let line = |from, to| PathElement::new(vec![(from, y), (to, y)], color.stroke_width(1));
        let [p50, p99, p999] = [figures.p50_us, figures.p99_us, figures.p999_us].map(|value| value.max(least));
        chart.draw_series([line(p50, p999)])?;
        chart.draw_series([Circle::new((p50, y), 4, color.filled())])?;
        chart.draw_series([EmptyElement::at((p99, y)) + Rectangle::new([(-4, -4), (4, 4)], color.filled())])?;
        chart.draw_series([
            EmptyElement::at((p999, y)) + PathElement::new(vec![(0, -6), (0, 6)], color.stroke_width(2))
        ])?;
    }
    root.present()?;
    Ok(())
}

/// For each server, idle connections and the ratio of its CPU time per request beside them.
fn beside(report: &Report) -> Vec<(String, Vec<(f64, f64)>)> {
    let modes = [(10.0, "beside-10"), (1e3, "beside-1k"), (1e4, "beside-10k"), (1.8e4, "beside-18k")];
    let points = |server: &str| {
        let ratio = |name: &str| {
            let rows = &mode(report, name)?.rows;
            Some(rows.iter().find(|row| row.server == server)?.figures?.ratio)
        };
        modes.iter().filter_map(|(idle, name)| Some((*idle, ratio(name)?))).collect()
    };
    servers::ALL.iter().map(|server| (server.name.to_owned(), points(server.name))).collect()
}

fn scale(path: &Path, lines: &[(String, Vec<(f64, f64)>)]) -> Drawn {
    // Very slow servers are left out.
    let lines: Vec<_> = lines.iter().filter(|(_, points)| points.iter().all(|(_, ratio)| *ratio < 3.0)).collect();
    let most = lines.iter().flat_map(|(_, points)| points).map(|(_, ratio)| *ratio).fold(1.2, f64::max);
    let root = SVGBackend::new(path, (2 * PANEL_WIDTH, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "CPU time per request of 64 busy connections beside idle ones, as a ratio to the bare loop on epoll";
    root.draw(&Text::new(title, (14, 12), ("sans-serif", 15).into_font().color(&INK)))?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .margin_top(36)
        .margin_right(150)
        .x_label_area_size(32)
        .y_label_area_size(40)
        .build_cartesian_2d((8.0..2e4).log_scale(), 0.8..most * 1.05)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .x_desc("idle connections")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.2}"))
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .draw()?;
    // Names at the ends of the lines, apart from each other.
    let mut ends: Vec<(&str, (f64, f64))> =
        lines.iter().filter_map(|(server, points)| Some((server.as_str(), *points.last()?))).collect();
    ends.sort_by(|(_, (_, one)), (_, (_, other))| other.total_cmp(one));
    let mut last = i32::MIN;
    for (server, end) in ends {
        let (x, y) = chart.backend_coord(&end);
        last = y.max(last.saturating_add(14));
        let style = ("sans-serif", 12).into_font().color(&color(server)).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(server.to_owned(), (x + 10, last), style))?;
    }
    for (server, points) in lines {
        let style = color(server).stroke_width(if color(server) == OURS { 3 } else { 1 });
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color(server).filled())))?;
    }
    root.present()?;
    Ok(())
}
