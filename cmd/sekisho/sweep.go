package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
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
		if c.Uses != "" {
			if err := c.told(ctx, t, h, actor); err != nil {
				return err
			}
		}
		var (
			out     = sweepReport{DryRun: c.DryRun}
			stopped *lifecycle.Stopped
		)
		if c.DryRun {
			out.Summary, _, err = h.Lifecycle.Look(ctx, at, out.add)
		} else {
			out.Summary, err = h.Lifecycle.ByHand(ctx, actor, at, func(people int) {
				fmt.Fprintf(t.err, policy.Words{JA: "%d件のIDを読みました\n", EN: "%d IDs read\n"}.In(t.lang), people)
			})
			if err == nil {
				err = h.Lifecycle.Each(ctx, out.Summary.ID, out.add)
			}
		}
		if err != nil && !errors.As(err, &stopped) {
			return sweepFault(err)
		}
		if err := out.write(t, c.Format); err != nil {
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

// told takes a file of uses that systems out of reach know of.
func (c sweepCmd) told(ctx context.Context, t *terminal, h *house.House, actor string) error {
	f, err := os.Open(c.Uses)
	if err != nil {
		return say.Errorf("%[1]s を読めません（%[2]v）。名前を確かめてください。", "cannot read %[1]s (%[2]v); check the name", c.Uses, err)
	}
	defer f.Close()
	uses, err := lifecycle.ReadUses(f, h.Clock.Now())
	var faults lifecycle.Faults
	if errors.As(err, &faults) {
		t.list(faults.Text(t.lang))
		return say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。何も取り込んでいません。", "%[1]s has %[2]d problem(s); mend the lines above. Nothing was taken.", c.Uses, len(faults))
	}
	if err != nil {
		return err
	}
	if err := h.Lifecycle.Tell(ctx, actor, uses); err != nil {
		return err
	}
	fmt.Fprintf(t.err, policy.Words{JA: "ほかのシステムでの利用を %d 行取り込みました\n", EN: "%d lines of uses taken\n"}.In(t.lang), len(uses))
	return nil
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

// A sweepReport is what a sweep is told as.
type sweepReport struct {
	lifecycle.Summary
	DryRun  bool
	entries []lifecycle.Entry
}

func (r *sweepReport) add(e lifecycle.Entry) error {
	r.entries = append(r.entries, e)
	return nil
}

type sweepAnswer struct {
	AsOf     time.Time    `json:"as_of"`
	DryRun   bool         `json:"dry_run"`
	State    string       `json:"state"`
	Why      string       `json:"why,omitempty"`
	Proposal string       `json:"proposal,omitempty"`
	People   int          `json:"people"`
	Warn     int          `json:"warn"`
	Disable  int          `json:"disable"`
	Delete   int          `json:"propose_deletion"`
	Entries  []sweepEntry `json:"entries"`
}

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

func (r sweepReport) write(t *terminal, format string) error {
	switch format {
	case "json":
		out := sweepAnswer{
			AsOf: r.AsOf.UTC().Truncate(time.Second), DryRun: r.DryRun, State: string(r.State), Why: r.Why, Proposal: r.Matter, People: r.People,
			Warn: r.ToWarn, Disable: r.ToDisable, Delete: r.ToDelete, Entries: []sweepEntry{},
		}
		for _, e := range r.entries {
			one := sweepEntry{e.Login, e.Name, e.Section, string(e.Kind), string(e.Class), nil, e.Unused, string(e.Stage), string(e.Hold), string(e.Act), string(e.Outcome), string(e.Person)}
			if !e.LastUse.IsZero() {
				used := e.LastUse.UTC().Truncate(time.Second)
				one.LastUse = &used
			}
			out.Entries = append(out.Entries, one)
		}
		b, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(t.out, string(b))
		return err
	case "csv":
		return r.csv(t.out)
	}
	for _, e := range r.entries {
		if e.Act == "" && e.Stage == lifecycle.InUse {
			continue
		}
		fmt.Fprintf(t.out, "%-20s %-12s %-12s %-10s %5d  %s\n", e.Login, e.Section, e.Class, lastUse(e), e.Unused, orNone(string(e.Act)))
	}
	t.line("ID %[1]d 件。知らせる %[2]d 件、無効にする %[3]d 件、削除を提案する %[4]d 件（%[5]s の時点）。", "%[1]d IDs: %[2]d to warn, %[3]d to disable, %[4]d to propose for deletion (as of %[5]s)",
		r.People, r.ToWarn, r.ToDisable, r.ToDelete, r.AsOf.In(japan).Format("2006-01-02 15:04 JST"))
	if r.DryRun {
		t.line("見ただけです。何も変えていません。", "a dry run: nothing was changed")
	}
	return nil
}

func lastUse(e lifecycle.Entry) string {
	if e.LastUse.IsZero() {
		return "–"
	}
	return e.LastUse.In(japan).Format(time.DateOnly)
}

func (r sweepReport) csv(to io.Writer) error {
	if _, err := io.WriteString(to, "\ufeff"); err != nil {
		return err
	}
	w := csv.NewWriter(to)
	w.UseCRLF = true
	rows := [][]string{{"login", "name", "section", "kind", "class", "last_used_at", "unused_days", "stage", "hold", "action", "outcome"}}
	for _, e := range r.entries {
		used := ""
		if !e.LastUse.IsZero() {
			used = e.LastUse.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{
			report.Plain(e.Login), report.Plain(e.Name), report.Plain(e.Section), report.Plain(string(e.Kind)), string(e.Class), used,
			strconv.Itoa(e.Unused), string(e.Stage), string(e.Hold), string(e.Act), string(e.Outcome),
		})
	}
	return errors.Join(w.WriteAll(rows), w.Error())
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
			"the sweep stopped: %[2]s (%[3]d IDs last time, %[4]d now, %[5]d to act on) Nothing was changed.", words.JA, words.EN, s.Before, s.Answer.People, s.Answer.Acts)
	}
	return say.Errorf("点検を止めました。%[1]s（前回 %[3]d 件、今回 %[4]d 件、処理 %[5]d 件）情報セキュリティ管理者か責任者が %[6]s/approvals で承認すると続きます（%[7]s）。",
		"the sweep stopped: %[2]s (%[3]d IDs last time, %[4]d now, %[5]d to act on) It goes on once a security manager or officer approves it at %[6]s/approvals (%[7]s).",
		words.JA, words.EN, s.Before, s.Answer.People, s.Answer.Acts, gate, s.Matter)
}
