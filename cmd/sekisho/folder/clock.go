package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

type clockFile struct {
	AdvanceSeconds int64 `json:"advance_seconds"`
}

// Advance is how far the folder's clock runs ahead of the machine's. It governs
// dev and every command on the folder, so that a session which ended in dev has
// ended for `audit export` too. No file means not moved at all.
func (f Folder) Advance() (time.Duration, error) {
	data, err := os.ReadFile(f.Clock())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the folder's clock: %w", err)
	}
	var c clockFile
	if err := json.Unmarshal(data, &c); err != nil || c.AdvanceSeconds < 0 {
		return 0, fmt.Errorf("reading the folder's clock: %s does not hold a number of seconds that is zero or more", f.Clock())
	}
	return time.Duration(c.AdvanceSeconds) * time.Second, nil
}

// SetAdvance keeps how far the clock was moved.
func (f Folder) SetAdvance(by time.Duration) error {
	data, err := json.Marshal(clockFile{int64(by / time.Second)})
	if err != nil {
		return err
	}
	return Write(f.Clock(), append(data, '\n'), 0o600)
}
