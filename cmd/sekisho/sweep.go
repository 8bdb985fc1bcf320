package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"sekisho/authz/lifecycle"
	"sekisho/authz/report"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
)

type sweepCmd struct {
	where
	DryRun bool   `help:"${sweep_dry_run}"`
	AsOf   string `help:"${sweep_as_of}" placeholder:"DATE"`
	Format string `help:"${sweep_format}" enum:"table,json,csv" default:"table"`
	Uses   string `help:"${sweep_uses}" placeholder:"FILE.csv" type:"path"`
	Act    bool   `help:"${sweep_act}"`
}

// japan is the calendar of DATE.
var japan = time.FixedZone("JST", 9*60*60)

// asOf is the moment that a DATE stands for: the end of that day in Japan, or now on
// the day itself.
func asOf(date string, now time.Time) (time.Time, error) {
	if date == "" || date == now.In(japan).Format(time.DateOnly) {
		return now, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, date, japan)
	if err != nil {
		return time.Time{}, misuse{say.Errorf("--as-of %[1]s は日付ではありません。2026-04-01 のように書いてください。", "--as-of %[1]s is no date; write one such as 2026-04-01", date)}
	}
	return day.AddDate(0, 0, 1).Add(-time.Second).UTC(), nil
}

// Run looks for unused IDs at once. Whoever runs it does no more than the gate does by
// itself each day; a day other than today is looked at alone, but in dev.
func (c sweepCmd) Run(ctx context.Context, t *terminal) error {
	actor, err := operator()
	if err != nil {
		return err
	}
	return c.inHouse(ctx, t, func(h *house.House, dev bool) error {
		now := h.Clock.Now()
		at, err := asOf(c.AsOf, now)
		if err != nil {
			return err
		}
		if !c.DryRun && !dev && !at.Equal(now) {
			return misuse{say.Errorf("今日でない日の点検は、--dry-run を付けて見るだけにしてください。", "a day other than today is only looked at: add --dry-run")}
		}
		var uses []lifecycle.Use
		if c.Uses != "" {
			if uses, err = c.told(ctx, t, h, actor); err != nil {
				return err
			}
		}
		// What is found goes through a file: however many IDs there are, some of them are in
		// memory, and nothing is shown of a reading that fails.
		out, err := newSweepSheet(t, c.Format, c.DryRun)
		if err != nil {
			return err
		}
		defer out.close()
		var (
			s       lifecycle.Summary
			stopped *lifecycle.Stopped
		)
		if c.DryRun {
			s, _, err = h.Lifecycle.Look(ctx, at, uses, out.add)
		} else {
			s, err = h.Lifecycle.ByHand(ctx, actor, at, c.Act, func(people int) {
				fmt.Fprintf(t.err, policy.Words{JA: "%d件のIDを読みました\n", EN: "%d IDs read\n"}.In(t.lang), people)
			})
			if err == nil {
				err = h.Lifecycle.Each(ctx, s.ID, out.add)
			}
		}
		if err != nil && !errors.As(err, &stopped) {
			return sweepFault(err)
		}
		if err := out.show(t, s); err != nil {
			return err
		}
		if err := h.Seal.Seal(ctx); err != nil {
			return err
		}
		if stopped != nil {
			return haltFault(stopped, h.PublicURL())
		}
		return nil
	})
}

// told reads a file of uses that systems out of reach know of, and takes it, but in a dry
// run, which goes by it and keeps nothing.
func (c sweepCmd) told(ctx context.Context, t *terminal, h *house.House, actor string) ([]lifecycle.Use, error) {
	f, err := os.Open(c.Uses)
	if err != nil {
		return nil, say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", c.Uses, err)
	}
	defer f.Close()
	uses, err := lifecycle.ReadUses(f, h.Clock.Now())
	var faults lifecycle.Faults
	if errors.As(err, &faults) {
		t.list(faults.Text(t.lang))
		return nil, say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。何も取り込んでいません。", "%[1]s has %[2]d problem(s); mend the lines above. Nothing was taken.", c.Uses, len(faults))
	}
	if err != nil || c.DryRun {
		return uses, err
	}
	if err := h.Lifecycle.Tell(ctx, actor, uses); err != nil {
		return nil, err
	}
	fmt.Fprintf(t.err, policy.Words{JA: "ほかのシステムでの利用を %d 行取り込みました\n", EN: "%d lines of uses taken\n"}.In(t.lang), len(uses))
	return uses, nil
}

// inHouse opens the whole house, beside a running gate or without one, for as long as
// fn takes. What a house does by itself it does not do here. dev: the folder is one
// that dev made.
func (w where) inHouse(ctx context.Context, t *terminal, fn func(h *house.House, dev bool) error) (err error) {
	at, err := w.find(t)
	if err != nil {
		return err
	}
	if at.folder != "" {
		d, running, err := at.folder.Running()
		switch {
		case err != nil:
			return err
		case running:
			bind, err := secret.ReadFile(at.folder.BindPassword())
			if err != nil {
				return err
			}
			at.cfg.Directory = devDirectory(d.LDAP.URL, bind)
		default:
			lock, err := at.folder.Lock()
			if err != nil {
				return err
			}
			defer lock.Release()
			secrets, err := drawn(at.folder)
			if err != nil {
				return err
			}
			people, bind, err := startDirectory(ctx, at.folder, at.now, secrets, devCmd{HashMemoryKiB: 64 << 10}.cost())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, people.Close()) }()
			at.cfg.Directory = devDirectory(people.URL(), bind)
		}
	}
	h, err := house.Open(ctx, at.cfg, at.now)
	if err != nil {
		return err
	}
	defer h.Close()
	return fn(h, at.folder != "")
}

// A sweepSheet is what a sweep finds, as it is shown: written to a file as it comes, and
// copied from there once all of it is known.
type sweepSheet struct {
	format string
	dry    bool
	file   *os.File
	to     *bufio.Writer
	csv    *csv.Writer
	n      int
}

func newSweepSheet(t *terminal, format string, dry bool) (*sweepSheet, error) {
	f, err := os.CreateTemp("", "sekisho-sweep-*")
	if err != nil {
		return nil, say.Errorf("一時ファイルを作れません（%[1]v）。TMPDIR と空き容量を確かめてください。", "cannot make a temporary file (%[1]v); check TMPDIR and the room on it", err)
	}
	if err := os.Remove(f.Name()); err != nil { // it has names of people, and is nobody's to find
		return nil, errors.Join(err, f.Close())
	}
	s := &sweepSheet{format: format, dry: dry, file: f, to: bufio.NewWriter(f)}
	if format == "csv" {
		if _, err := s.to.WriteString("\ufeff"); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		s.csv = csv.NewWriter(s.to)
		s.csv.UseCRLF = true
		return s, s.csv.Write([]string{"login", "name", "section", "kind", "class", "last_used_at", "unused_days", "stage", "hold", "action", "outcome"})
	}
	return s, nil
}

func (s *sweepSheet) close() { _ = s.file.Close() }

type sweepEntry struct {
	Login    string     `json:"login"`
	Name     string     `json:"name"`
	Section  string     `json:"section"`
	Kind     string     `json:"kind"`
	Class    string     `json:"class"`
	LastUse  *time.Time `json:"last_used_at"` // null: never
	Unused   int        `json:"unused_days"`
	Stage    string     `json:"stage"`
	Hold     string     `json:"hold,omitempty"`
	Action   string     `json:"action,omitempty"`
	Outcome  string     `json:"outcome,omitempty"`
	PersonID string     `json:"person_id"`
}

// add writes one entry.
func (s *sweepSheet) add(e lifecycle.Entry) error {
	s.n++
	switch s.format {
	case "json":
		one := sweepEntry{e.Login, e.Name, e.Section, string(e.Kind), string(e.Class), nil, e.Unused, string(e.Stage), string(e.Hold), string(e.Act), string(e.Outcome), string(e.Person)}
		if !e.LastUse.IsZero() {
			used := e.LastUse.UTC().Truncate(time.Second)
			one.LastUse = &used
		}
		b, err := json.MarshalIndent(one, "    ", "  ")
		if err != nil {
			return err
		}
		before := ",\n    "
		if s.n == 1 {
			before = "\n    "
		}
		_, err = s.to.WriteString(before + string(b))
		return err
	case "csv":
		used := ""
		if !e.LastUse.IsZero() {
			used = e.LastUse.UTC().Format(time.RFC3339)
		}
		return s.csv.Write([]string{
			report.Plain(e.Login), report.Plain(e.Name), report.Plain(e.Section), report.Plain(string(e.Kind)), string(e.Class), used,
			strconv.Itoa(e.Unused), string(e.Stage), string(e.Hold), string(e.Act), string(e.Outcome),
		})
	}
	if e.Act == "" && e.Stage == lifecycle.InUse {
		return nil
	}
	_, err := fmt.Fprintf(s.to, "%-20s %-12s %-12s %-10s %5d  %s\n", e.Login, e.Section, e.Class, lastUse(e), e.Unused, orNone(string(e.Act)))
	return err
}

// show copies what was written, with what the whole came to.
func (s *sweepSheet) show(t *terminal, sum lifecycle.Summary) error {
	if s.csv != nil {
		s.csv.Flush()
		if err := s.csv.Error(); err != nil {
			return err
		}
	}
	if err := s.to.Flush(); err != nil {
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if s.format == "json" {
		return s.json(t.out, sum)
	}
	if _, err := io.Copy(t.out, s.file); err != nil || s.format == "csv" {
		return err
	}
	t.line("ID %[1]d 件。知らせる %[2]d 件、無効にする %[3]d 件、削除を提案する %[4]d 件（%[5]s の時点）。", "%[1]d IDs: %[2]d to warn, %[3]d to disable, %[4]d to propose for deletion (as of %[5]s)",
		sum.People, sum.ToWarn, sum.ToDisable, sum.ToDelete, sum.AsOf.In(japan).Format("2006-01-02 15:04 JST"))
	switch {
	case s.dry:
		t.line("見ただけです。何も変えていません。", "a dry run: nothing was changed")
	case sum.OnlyLooked():
		t.line("はじめての点検なので、見ただけです。続けて処理するには --act を付けてください。", "the first sweep only looks; to act at once, add --act")
	case sum.Failed > 0:
		t.line("処理できなかったIDが %[1]d 件あります。`sekisho report dormant` の一覧で確かめてください。", "%[1]d IDs could not be dealt with; see the findings of `sekisho report dormant`", sum.Failed)
	}
	return nil
}

type sweepAnswer struct {
	AsOf     time.Time `json:"as_of"`
	DryRun   bool      `json:"dry_run"`
	Looked   bool      `json:"only_looked"` // the first sweep of a store
	State    string    `json:"state"`
	Why      string    `json:"why,omitempty"`
	Proposal string    `json:"proposal,omitempty"`
	People   int       `json:"people"`
	Warn     int       `json:"warn"`
	Disable  int       `json:"disable"`
	Delete   int       `json:"propose_deletion"`
	Failed   int       `json:"failed"`
}

// json writes the totals, and among them the entries, which are in the file.
func (s *sweepSheet) json(to io.Writer, sum lifecycle.Summary) error {
	b, err := json.MarshalIndent(sweepAnswer{
		AsOf: sum.AsOf.UTC().Truncate(time.Second), DryRun: s.dry, Looked: sum.OnlyLooked(), State: string(sum.State), Why: sum.Why, Proposal: sum.Matter, People: sum.People,
		Warn: sum.ToWarn, Disable: sum.ToDisable, Delete: sum.ToDelete, Failed: sum.Failed,
	}, "", "  ")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(to, strings.TrimSuffix(string(b), "\n}")+",\n  \"entries\": ["); err != nil {
		return err
	}
	if _, err := io.Copy(to, s.file); err != nil {
		return err
	}
	end := "]\n}\n"
	if s.n > 0 {
		end = "\n  " + end
	}
	_, err = io.WriteString(to, end)
	return err
}

func lastUse(e lifecycle.Entry) string {
	if e.LastUse.IsZero() {
		return "–"
	}
	return e.LastUse.In(japan).Format(time.DateOnly)
}

// sweepFault puts into words why no sweep came about.
func sweepFault(err error) error {
	switch {
	case errors.Is(err, lifecycle.ErrBusy):
		return say.Errorf("ほかの点検が動いています。終わるのを待って、もう一度実行してください。", "another sweep is under way; wait for it, and run this again")
	case errors.Is(err, directory.ErrTruncated):
		return say.Errorf("ディレクトリの答えが途中で切れたため、何もしていません（%[1]v）。サイズの上限など、ディレクトリの設定を確かめてください。",
			"the directory's answer was cut short, so nothing was done (%[1]v); see its size limit", err)
	case errors.Is(err, directory.ErrAway):
		return say.Errorf("ディレクトリを読めないため、何もしていません（%[1]v）。`sekisho config check` で確かめてください。",
			"the directory cannot be read, so nothing was done (%[1]v); see `sekisho config check`", err)
	}
	return err
}

// haltFault puts into words why a sweep waits for somebody.
func haltFault(s *lifecycle.Stopped, gate string) error {
	words := s.Why.Words()
	if s.Matter == "" {
		return say.Errorf("点検を止めました。%[1]s（前回 %[3]d 件、今回 %[4]d 件、処理 %[5]d 件）何も変えていません。",
			"the sweep stopped: %[2]s (%[3]d IDs last time, %[4]d now, %[5]d to act on) Nothing was changed.", words.JA, words.EN, s.Before.People, s.Answer.People, s.Answer.Acts)
	}
	return say.Errorf("点検を止めました。%[1]s（前回 %[3]d 件、今回 %[4]d 件、処理 %[5]d 件）情報セキュリティ管理者か責任者が %[6]s/approvals で承認すると続きます（%[7]s）。",
		"the sweep stopped: %[2]s (%[3]d IDs last time, %[4]d now, %[5]d to act on) It goes on once a security manager or officer approves it at %[6]s/approvals (%[7]s).",
		words.JA, words.EN, s.Before.People, s.Answer.People, s.Answer.Acts, gate, s.Matter)
}
