package main

import (
	"errors"

	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/folder"
	"sekisho/cmd/sekisho/house"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/clock"
)

// where names the house a command is about.
type where struct {
	Config string `help:"${config_flag}" placeholder:"FILE" type:"path"`
	Data   string `help:"${data_flag}" placeholder:"DIR" type:"path"`
}

// A place is a house found: what it is built from, and the clock that rules
// there. folder is empty unless dev made it.
type place struct {
	cfg    house.Config
	now    clock.Now
	folder folder.Folder
}

// named reports whether the command line names a house, and refuses two.
func (w where) named() (bool, error) {
	if w.Config != "" && w.Data != "" {
		return false, misuse{say.Errorf("--config と --data はどちらか一つです。", "give --config or --data, not both")}
	}
	return w.Config != "" || w.Data != "", nil
}

// find reads what the command line names.
func (w where) find(t *terminal) (place, error) {
	ok, err := w.named()
	switch {
	case err != nil:
		return place{}, err
	case !ok:
		return place{}, misuse{say.Errorf(
			"どの関所のことか分かりません。--config FILE か --data DIR を付けてください。",
			"which gate? add --config FILE or --data DIR")}
	case w.Config != "":
		cfg, err := readConfig(t, w.Config)
		return place{cfg: cfg, now: t.system}, err
	}
	f, err := folder.Existing(w.Data)
	if err != nil {
		return place{}, err
	}
	ahead, err := f.Advance()
	if err != nil {
		return place{}, err
	}
	cfg, err := devConfig(f)
	return place{cfg: cfg, now: clock.NewOffset(t.system, ahead).Now, folder: f}, err
}

// readConfig reads sekisho.yaml. Its faults are listed; the sentence counts
// them.
func readConfig(t *terminal, path string) (house.Config, error) {
	file, err := config.Read(path)
	if err != nil {
		return house.Config{}, t.configFaults(path, err)
	}
	return house.FromFile(file)
}

func (t *terminal) configFaults(path string, err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return err
	}
	t.list(faults.Text(t.lang))
	return say.Errorf("%[1]s に誤りが %[2]d 件あります。上の行を直してください。",
		"%[1]s has %[2]d fault(s); mend the lines above", path, len(faults))
}
