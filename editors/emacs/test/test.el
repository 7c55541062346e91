;;; test.el --- Tests of webstorage.el in two Emacsen  -*- lexical-binding: t; -*-
;; Prints a line for each check; editors/test counts them.

(require 'server)
(require 'subr-x)
(require 'webstorage)

(defconst test-server (getenv "WEBSTORAGE_SERVER"))
(defconst test-limit 15)
(setq webstorage-command (list test-server))

(defmacro check (name &rest body)
  "Run BODY and print how the check NAME went."
  (declare (indent 1))
  `(let ((failure (condition-case failure (progn ,@body nil) (error failure))))
     (princ (if failure (format "not ok emacs: %s: %S\n" ,name failure)
              (format "ok emacs: %s\n" ,name)))))

(defun wanted (wanted got)
  "Signal an error unless GOT is WANTED."
  (unless (equal wanted got) (error "Wanted %S, got %S" wanted got)))

(defun failure-of (function)
  "The data of the `webstorage-error' that FUNCTION signals."
  (let ((failure (condition-case failure (progn (funcall function) nil)
                   (webstorage-error (cdr failure)))))
    (unless failure (error "No error was signalled"))
    failure))

(defun wait-until (what condition)
  "Wait until CONDITION, which WHAT names, for a finite time."
  (let ((limit (+ (float-time) test-limit)))
    (while (not (funcall condition))
      (when (> (float-time) limit) (error "Waited in vain for %s" what))
      (accept-process-output nil 0.01))))

(defun running-p (pid)
  "Whether the process PID runs."
  (let ((state (alist-get 'state (process-attributes pid))))
    (and state (not (equal state "Z")))))

(defun start-other ()
  "Start another Emacs with a server of its own; return (PROCESS . SOCKET)."
  (let* ((socket (expand-file-name "emacs" (make-temp-file "webstorage-test" t)))
         (process (start-process
                   "other" nil (expand-file-name invocation-name invocation-directory)
                   "-Q" "--fg-daemon=emacs"
                   "--eval" (format "(setq server-socket-dir %S)" (file-name-directory socket))
                   "-L" (file-name-directory (locate-library "webstorage"))
                   "--load" "webstorage")))
    (set-process-query-on-exit-flag process nil)
    (wait-until "the other Emacs" (lambda () (file-exists-p socket)))
    (cons process socket)))

(defun there (other form)
  "Evaluate FORM in OTHER."
  (let ((server-socket-dir (file-name-directory (cdr other)))
        (server-use-tcp nil))
    (server-eval-at (file-name-nondirectory (cdr other)) form)))

;; Special variables with plain names would be bound by the parameters of the
;; client as long as it is not compiled.
(defconst test-other (start-other))
(defconst test-connection (webstorage-connect))
(defconst test-area (webstorage-open test-connection :persistent t :origin "https://emacs.test"))

(check "every function of an area, waiting"
  (let ((session (webstorage-open test-connection)))
    (wanted "http://localhost" (webstorage-area-origin session))
    (wanted nil (webstorage-get-item session "a"))
    (webstorage-set-item session "b" "1")
    (webstorage-set-item session "a" "")
    (webstorage-set-item session "b" "2")
    (wanted "2" (webstorage-get-item session "b"))
    (wanted "" (webstorage-get-item session "a"))
    (wanted 2 (webstorage-length session))
    (wanted '("b" "a" nil) (mapcar (lambda (index) (webstorage-key session index)) '(0 1 2)))
    (wanted '("b" "a") (webstorage-keys session))
    (wanted '(("b" . "2") ("a" . "")) (webstorage-entries session))
    (webstorage-remove-item session "b")
    (wanted '("a") (webstorage-keys session))
    (webstorage-clear session)
    (wanted 0 (webstorage-length session))
    (wanted nil (webstorage-keys session))
    (webstorage-close session)
    (wanted "InvalidStateError" (car (failure-of (lambda () (webstorage-length session)))))))

(check "callbacks come in the order of the calls"
  (let ((session (webstorage-open test-connection :origin "https://order.test")) seen)
    (dotimes (i 50)
      (webstorage-set-item session "n" (number-to-string i)
                           (lambda (failure _) (push (or failure (list 'set i)) seen)))
      (webstorage-get-item session "n"
                           (lambda (failure value) (push (or failure (list 'got value)) seen))))
    (wanted nil seen)
    (wait-until "100 callbacks" (lambda () (= (length seen) 100)))
    (wanted (cl-loop for i below 50 nconc `((set ,i) (got ,(number-to-string i))))
            (reverse seen))))

(check "connecting and opening with callbacks; a callback may wait"
  (let (got)
    (webstorage-connect
     :callback (lambda (_ second)
                 (webstorage-open
                  second
                  :callback (lambda (_ session)
                              (webstorage-set-item session "k" "v")
                              (setq got (list (webstorage-get-item session "k")
                                              (webstorage-stop second)))))))
    (wait-until "the callbacks" (lambda () got))
    (wanted '("v" 0) got)))

(check "a write in one Emacs is seen by the next read in another"
  (there test-other `(progn
                  (setq webstorage-command '(,test-server)
                        connection (webstorage-connect)
                        area (webstorage-open connection :persistent t :origin "https://emacs.test"
                                              :url "https://emacs.test/other")
                        events nil)
                  (webstorage-subscribe area (lambda (event) (push event events)))
                  t))
  (dotimes (i 20)
    (webstorage-set-item test-area "turn" (number-to-string i))
    (wanted (number-to-string i) (there test-other '(webstorage-get-item area "turn")))
    (there test-other `(webstorage-set-item area "answer" ,(number-to-string i)))
    (wanted (number-to-string i) (webstorage-get-item test-area "answer"))))

(check "changes reach the other Emacs as events, in order, and not the one that made them"
  (let* (mine
         (subscription (webstorage-subscribe test-area (lambda (event) (push event mine))))
         told)
    (there test-other '(setq events nil))
    (webstorage-set-item test-area "theme" "dark")
    (webstorage-set-item test-area "theme" "dark")
    (webstorage-set-item test-area "theme" "light")
    (webstorage-remove-item test-area "theme")
    (webstorage-clear test-area)
    (wait-until "four events there"
                (lambda () (>= (length (setq told (there test-other '(reverse events)))) 4)))
    (wanted '(("theme" nil "dark") ("theme" "dark" "light") ("theme" "light" nil) (nil nil nil))
            (mapcar (lambda (event) (mapcar (lambda (name) (plist-get event name))
                                            '(:key :oldValue :newValue)))
                    told))
    (wanted "https://emacs.test" (plist-get (car told) :url))
    (there test-other '(webstorage-set-item area "from" "other"))
    (wait-until "the event here" (lambda () mine))
    (wanted '(1 "from" "other" "https://emacs.test/other")
            (list (length mine) (plist-get (car mine) :key) (plist-get (car mine) :newValue)
                  (plist-get (car mine) :url)))
    (webstorage-unsubscribe subscription)))

(check "a subscription tells only of its keys, and what came since"
  (let ((first (webstorage-subscribe test-area #'ignore)) seen)
    (there test-other '(progn (webstorage-set-item area "x.1" "a")
                         (webstorage-set-item area "y" "b")
                         (webstorage-set-item area "x.2" "c")))
    (let ((second (webstorage-subscribe
                   test-area (lambda (event) (push (plist-get event :key) seen))
                   :prefix "x." :since (webstorage-subscription-sequence first))))
      (wanted nil (webstorage-subscription-gap second))
      (wait-until "two events" (lambda () (= (length seen) 2)))
      (wanted '("x.2" "x.1") seen)
      (webstorage-unsubscribe first)
      (webstorage-unsubscribe second))))

(check "a listener may read the area it hears of"
  (let* (read
         (subscription (webstorage-subscribe
                        test-area (lambda (event)
                               (push (webstorage-get-item test-area (plist-get event :key)) read)))))
    (there test-other '(dotimes (i 10) (webstorage-set-item area (format "r%d" i) (format "v%d" i))))
    (wait-until "ten reads" (lambda () (= (length read) 10)))
    (wanted (mapcar (lambda (i) (format "v%d" i)) (number-sequence 0 9)) (sort read #'string<))
    (webstorage-unsubscribe subscription)))

(check "two Emacsen that increment one item 100 times each end at 200"
  (webstorage-set-item test-area "count" "0")
  (there test-other '(progn
                  (setq finished nil)
                  (run-at-time 0 nil
                               (lambda ()
                                 (dotimes (_ 100)
                                   (webstorage-update
                                    area "count"
                                    (lambda (value)
                                      (number-to-string (1+ (string-to-number value))))))
                                 (setq finished t)))
                  t))
  (dotimes (_ 100)
    (webstorage-update test-area "count"
                       (lambda (value) (number-to-string (1+ (string-to-number value))))))
  (wait-until "the increments there" (lambda () (there test-other 'finished)))
  (wanted "200" (webstorage-get-item test-area "count")))

(check "a transaction happens as a whole or not at all"
  (webstorage-transact test-area :clear t :set '(("from" . "100") ("to" . "0")))
  (wanted '(("from" . "100") ("to" . "0")) (there test-other '(webstorage-entries area)))
  (let ((failure (failure-of (lambda ()
                               (webstorage-transact test-area :if '(("to" . "0") ("from" . "7") ("new"))
                                                    :remove '("to"))))))
    (wanted "ConstraintError" (car failure)))
  (webstorage-transact test-area :if '(("new")) :remove '("from") :set '(("to" . "100")))
  (wanted '(("to" . "100")) (there test-other '(webstorage-entries area))))

(check "quotes, line ends and every plane are exact"
  (dolist (text '("line\nend\r\n" "\"\\" "\\u0000" "\\\\u0000" "\u2028" "🦀 ünï" "\x7f\x01"))
    (webstorage-set-item test-area text (concat text text))
    (wanted (concat text text) (there test-other `(webstorage-get-item area ,text)))
    (webstorage-remove-item test-area text)))

(check "NUL is written exactly; Emacsen that cannot read it see U+FFFD"
  (webstorage-set-item test-area "nul" "a\0\\\0b\0")
  (wanted "\"a\\u0000\\\\\\u0000b\\u0000\""
          (with-temp-buffer
            (insert "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage/open\",\"params\":[true,\"https://emacs.test\"]}\n"
                    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"getItem\",\"params\":[1,\"nul\"]}\n")
            (call-process-region nil nil test-server t t)
            (goto-char (point-max))
            (search-backward "\"result\":")
            (buffer-substring (match-end 0) (1- (line-end-position)))))
  (let ((mark (if webstorage--reads-nul "\0" "\ufffd")))
    (wanted (concat "a" mark "\\" mark "b" mark) (webstorage-get-item test-area "nul"))
    (unless webstorage--reads-nul
      (wanted "DataError"
              (car (failure-of (lambda () (webstorage-update test-area "nul" (lambda (_) "x")))))))))

(check "the replacement of NUL does not depend on where the output is cut"
  (let ((text "[\"\\u0000\",\"\\\\u0000\",\"\\\\\\u0000\",\"\\u0001\"]"))
    (dotimes (at (length text))
      (let* ((first (webstorage--replace-nul "" (substring text 0 at)))
             (second (webstorage--replace-nul (cdr first) (substring text at))))
        (wanted "" (cdr second))
        (wanted "[\"\\ufffd\",\"\\\\u0000\",\"\\\\\\ufffd\",\"\\u0001\"]"
                (concat (car first) (car second)))))))

(check "a value of 1 MiB is exact"
  (let ((large (apply #'concat (make-list 65536 "0123456789abcde\n"))))
    (webstorage-set-item test-area "large" large)
    (wanted (list (length large) (md5 large))
            (there test-other '(let ((value (webstorage-get-item area "large")))
                            (list (length value) (md5 value)))))
    (webstorage-remove-item test-area "large")))

(check "a lone surrogate of another program reads as U+FFFD, and update refuses to guess"
  (with-temp-buffer
    (insert "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage/open\",\"params\":[true,\"https://emacs.test\"]}\n"
            "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"setItem\",\"params\":[1,\"lone\",\"<\\ud800>\"]}\n")
    (wanted 0 (call-process-region nil nil test-server)))
  (wanted "<\ufffd>" (webstorage-get-item test-area "lone"))
  (wanted "DataError"
          (car (failure-of (lambda () (webstorage-update test-area "lone" (lambda (_) "x"))))))
  (webstorage-set-item test-area "lone" "mended")
  (wanted "mended" (webstorage-get-item test-area "lone")))

(check "text that is not Unicode is an error and changes nothing"
  (webstorage-set-item test-area "text" "before")
  (wanted "DataError" (car (failure-of (lambda () (webstorage-set-item test-area "text" "\xff")))))
  (wanted "DataError" (car (failure-of (lambda () (webstorage-set-item test-area "text" (string #xd800))))))
  (wanted "before" (webstorage-get-item test-area "text")))

(check "errors name the DOMException and its numbers"
  (let* ((small (webstorage-open test-connection :origin "https://small.test" :quota 16))
         (failure (failure-of (lambda () (webstorage-set-item small "key" "far too long for it")))))
    (wanted '("QuotaExceededError" 22 16)
            (list (nth 0 failure) (nth 2 failure) (plist-get (nth 3 failure) :quota))))
  (wanted "SecurityError"
          (car (failure-of (lambda () (webstorage-open test-connection :persistent t :origin "null"))))))

(check "a missing server is told clearly, at once"
  (let ((failure (failure-of (lambda ()
                               (webstorage-connect :command '("/nowhere/webstorage-server"))))))
    (wanted "NotFoundError" (car failure))
    (wanted t (and (string-search "/nowhere/webstorage-server" (cadr failure))
                   (string-search "not found" (cadr failure)) t))))

(check "a program that is no such server is told clearly"
  (let ((failure (failure-of
                  (lambda ()
                    (webstorage-connect
                     :command '("sh" "-c" "echo no such thing >&2; exit 3"))))))
    (wanted "InvalidStateError" (car failure))
    (wanted t (and (string-search "code 3" (cadr failure))
                   (string-search "no such thing" (cadr failure)) t))))

(check "a server that does not answer is a TimeoutError, and is not left running"
  (let ((webstorage-timeout 0.2))
    (wanted "TimeoutError"
            (car (failure-of (lambda () (webstorage-connect :command '("sleep" "60")))))))
  (wait-until "the end of the program"
              (lambda () (not (cl-some (lambda (process)
                                         (and (process-live-p process)
                                              (equal (process-command process) '("sleep" "60"))))
                                       (process-list))))))

(check "a server that is killed fails its calls, the later ones too, and is told of"
  (let* (told failure
         (doomed (webstorage-connect :on-exit (lambda (message) (setq told message))))
         (session (webstorage-open doomed))
         (process (webstorage-connection-process doomed)))
    (signal-process process 'SIGSTOP)
    (webstorage-get-item session "k" (lambda (e _) (setq failure e)))
    (signal-process process 'SIGKILL)
    (wait-until "the failed call" (lambda () (and failure told)))
    (wanted "InvalidStateError" (car failure))
    (wanted t (and (string-search "signal 9" told) t))
    (wanted told (cadr (failure-of (lambda () (webstorage-get-item session "k")))))))

(check "stopping carries out what was sent, and ends the server with code 0"
  (let* ((second (webstorage-connect))
         (pid (process-id (webstorage-connection-process second)))
         (persistent (webstorage-open second :persistent t :origin "https://emacs.test")))
    (webstorage-set-item persistent "last" "words" #'ignore)
    (wanted 0 (webstorage-stop second))
    (wanted nil (running-p pid))
    (wanted "words" (webstorage-get-item test-area "last"))
    (wanted "InvalidStateError" (car (failure-of (lambda () (webstorage-length persistent)))))))

(check "stopping says nothing to the user, an end that nobody asked for does"
  (cl-flet ((said (end)
              (with-current-buffer (get-buffer-create "*Messages*")
                (let ((connection (webstorage-connect))
                      (inhibit-read-only t))
                  ;; Emacs counts equal messages instead of adding them.
                  (erase-buffer)
                  (funcall end connection)
                  (wait-until "the end of the server"
                              (lambda () (webstorage--ended connection)))
                  (buffer-string)))))
    (let ((message-log-max t))
      (wanted "" (said #'webstorage-stop))
      (wanted t (and (string-search "Server exited"
                                    (said (lambda (connection)
                                            (signal-process (webstorage-connection-process connection)
                                                            'SIGKILL))))
                     t)))))

(check "a persistent area without an origin, and keywords that do not exist, are refused"
  (wanted "TypeError" (car (failure-of (lambda () (webstorage-open test-connection :persistent t)))))
  (wanted "Keyword argument :orign"
          (condition-case failure
              (progn (webstorage-open test-connection :persistent t :orign "https://a.test") nil)
            (error (substring (cadr failure) 0 23))))
  (let ((own (webstorage-connect :origin "https://own.test")))
    (wanted "https://own.test" (webstorage-area-origin (webstorage-open own :persistent t)))
    (webstorage-stop own)))

(check "quitting Emacs carries out what was sent and leaves no server behind"
  (let ((pid (there test-other '(progn
                             (dotimes (i 200)
                               (webstorage-set-item area "quit" (number-to-string i) #'ignore))
                             (run-at-time 0 nil #'kill-emacs)
                             (process-id (webstorage-connection-process connection))))))
    (wait-until "the end of the other Emacs" (lambda () (not (process-live-p (car test-other)))))
    (wait-until "the end of its server" (lambda () (not (running-p pid))))
    (wanted "199" (webstorage-get-item test-area "quit"))))

(check "killing Emacs leaves no server behind"
  (let* ((doomed (start-other))
         (pid (there doomed `(progn
                               (setq connection (webstorage-connect :command '(,test-server)))
                               (process-id (webstorage-connection-process connection))))))
    (wanted t (running-p pid))
    (signal-process (car doomed) 'SIGKILL)
    (wait-until "the end of its server" (lambda () (not (running-p pid))))))

(check "connections leave no buffers behind"
  (wanted 0 (webstorage-stop test-connection))
  (wanted nil (cl-remove-if-not (lambda (name) (string-match-p "webstorage" name))
                                (mapcar #'buffer-name (buffer-list)))))
