package config_test

import (
	"strings"
	"testing"

	"sekisho/cmd/sekisho/config"
)

func TestCredentials(t *testing.T) {
	with := func(path string) (*config.File, error) {
		return config.Parse("/etc/sekisho/sekisho.yaml", []byte(strings.Replace(least, "ldap.password", path, 1)))
	}
	t.Run("given", func(t *testing.T) {
		t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/sekisho.service")
		for _, path := range []string{"$CREDENTIALS_DIRECTORY/ldap.password", "${CREDENTIALS_DIRECTORY}/ldap.password"} {
			f, err := with(path)
			if err != nil || f.Directory.BindPasswordFile != "/run/credentials/sekisho.service/ldap.password" {
				t.Errorf("%s: %+v, %v", path, f, err)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/sekisho.service")
		for _, path := range []string{"$CREDENTIALS_DIRECTORY/", "$CREDENTIALS_DIRECTORY/../shadow", "$CREDENTIALS_DIRECTORY/.."} {
			if _, err := with(path); err == nil || !strings.Contains(err.Error(), "one credential") {
				t.Errorf("%s: %v", path, err)
			}
		}
		t.Setenv("CREDENTIALS_DIRECTORY", "")
		if _, err := with("$CREDENTIALS_DIRECTORY/ldap.password"); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
			t.Errorf("without a service manager: %v", err)
		}
	})
	t.Run("no other variable", func(t *testing.T) {
		t.Setenv("HOME", "/root")
		f, err := with("$HOME/ldap.password")
		if err != nil || f.Directory.BindPasswordFile != "/etc/sekisho/$HOME/ldap.password" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}
