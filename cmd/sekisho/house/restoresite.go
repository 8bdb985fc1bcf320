package house

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sekisho/policy/store"
)

// A site is where a restored store is built and proved, beside the place that it
// will take. What is not taken is gone when the site is left.
type site interface {
	at() store.Config
	// take puts the store aside that is there, and the new one in its place.
	// Whatever stops it, both are there whole under their names; a store that
	// somebody made meanwhile is not replaced.
	take(ctx context.Context, now time.Time) (aside string, err error)
	leave(ctx context.Context)
}

// setAside ends the name of what a restore has replaced.
func setAside(now time.Time) string { return ".before-" + now.Format("20060102T150405.000000Z") }

// A fileSite is a folder beside a store in SQLite.
type fileSite struct {
	r      *Restore
	folder string
}

func newFileSite(r *Restore) (site, error) {
	path := r.Config.Store.Path
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".restoring-*") // mode 0700
	return fileSite{r, dir}, err
}

func (s fileSite) at() store.Config {
	cfg := s.r.Config.Store
	cfg.Path = filepath.Join(s.folder, "store")
	return cfg
}

func (s fileSite) leave(context.Context) { _ = os.RemoveAll(s.folder) }

func (s fileSite) take(ctx context.Context, now time.Time) (aside string, err error) {
	path, building := s.r.Config.Store.Path, s.at().Path
	if log, err := os.Stat(building + "-wal"); err == nil && log.Size() > 0 {
		return "", errors.New("restoring: the new store's log was not taken in")
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer dir.Close() // nothing was written through it, and the lock ends with it
	// Of several restores one looks and renames; the next sees what it has put there.
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return "", fmt.Errorf("locking %s: %w", dir.Name(), err)
	}
	if s.r.before.there {
		if err := s.fits(ctx, now); err != nil {
			return "", err
		}
		aside = path + setAside(now)
		for _, end := range []string{"-wal", "-shm", ""} {
			if err := os.Rename(path+end, aside+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return aside, fmt.Errorf("putting the store aside: %w", err)
			}
		}
	}
	if err := os.Link(building, path); err != nil {
		return aside, fmt.Errorf("putting the restored store in place: %w", err)
	}
	if err := dir.Sync(); err != nil {
		return aside, fmt.Errorf("putting the restored store in place: %w", err)
	}
	return aside, nil
}

// fits opens what lies there now, whatever it has become since it was looked at.
func (s fileSite) fits(ctx context.Context, now time.Time) error {
	path := s.r.Config.Store.Path
	if _, err := os.Stat(path); err != nil {
		return otherStore(path)
	}
	db, err := store.Open(ctx, s.r.Config.Store)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	if err := s.r.fit(ctx, db, now); err != nil {
		_ = db.Close() // nothing was written but its own mark
		return err
	}
	return db.Close()
}

// A schemaSite is a schema beside that of a store in PostgreSQL.
type schemaSite struct {
	r *Restore
	*store.Site
}

func newSchemaSite(ctx context.Context, r *Restore) (site, error) {
	s, err := store.NewSite(ctx, r.Config.Store, "sekisho_restoring_"+r.Base().UTC().Format("20060102t150405"))
	if err != nil {
		return nil, storeFault(err)
	}
	return schemaSite{r, s}, nil
}

func (s schemaSite) at() store.Config { return s.Store }

// leave is done although the caller was told to stop: what was built holds secrets.
func (s schemaSite) leave(ctx context.Context) { _ = s.Leave(context.WithoutCancel(ctx)) }

func (s schemaSite) take(ctx context.Context, now time.Time) (string, error) {
	aside := "sekisho" + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(setAside(now)))
	there, err := s.Take(ctx, aside, func(old store.Reader) error { return s.r.fit(ctx, old, now) })
	if err != nil || !there {
		return "", err
	}
	return aside, nil
}
